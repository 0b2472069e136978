#include "kernels/block_apply.h"

#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/block_apply.cc"
#include <hwy/foreach_target.h>
// Highway's order: foreach_target.h first.
#include <hwy/highway.h>

#include "base/parallel.h"
#include "kernels/widen-inl.h"

HWY_BEFORE_NAMESPACE();
namespace defectoscope {
namespace HWY_NAMESPACE {

using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;
constexpr Index kLanes = static_cast<Index>(hn::MaxLanes(DF()));
constexpr int kRegisters = HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86 ? 32 : HWY_ARCH_X86 ? 16 : 32;

/// Rows handled together for K vectors: as many accumulators as the registers hold, and at least enough to
/// hide the latency of an FMA.
constexpr int rows_together(int k) {
  const int budget = kRegisters == 32 ? 24 : 12;
  const int rows = budget / k;
  return rows > 8 ? 8 : rows < 1 ? 1 : rows;
}

/// x as panels: for each piece of kLanes columns the K vectors one after another, zeros past the end. One
/// stream with constant offsets is all the inner loop then needs.
template <int K>
void pack_panels(ConstMatrixView x, Index first, float* HWY_RESTRICT panels) {
  for (Index c = 0; c < x.cols(); c += kLanes)
    for (int b = 0; b < K; ++b, panels += kLanes) {
      const float* source = x.data() + (first + b) * x.stride() + c;
      const Index count = std::min(kLanes, x.cols() - c);
      for (Index i = 0; i < count; ++i) panels[i] = source[i];
      for (Index i = count; i < kLanes; ++i) panels[i] = 0;
    }
}

/// y[b, r] for R rows of weights and K packed vectors.
template <int R, int K, typename T>
HWY_INLINE void rows_kernel(const T* HWY_RESTRICT weight, Index stride, Index cols,
                            const float* HWY_RESTRICT panels, float* HWY_RESTRICT y, Index y_stride) {
  const DF df;
  VF sums[R][K];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int b = 0; b < K; ++b) sums[r][b] = hn::Zero(df);

  Index c = 0;
  for (; c + kLanes <= cols; c += kLanes, panels += K * kLanes) {
    VF w[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      w[r] = load_widened(df, weight + r * stride + c);
      // The next rows come while these are multiplied. With few vectors the hardware's own foresight is
      // enough.
      if (K >= 4) prefetch(weight, ((r + R) * stride + c) * static_cast<Index>(sizeof(T)));
    }
#pragma GCC unroll 8
    for (int b = 0; b < K; ++b) {
      const VF x = kept_in_register(hn::LoadU(df, panels + b * kLanes));
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) sums[r][b] = hn::MulAdd(w[r], x, sums[r][b]);
    }
  }
  if (c < cols) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const VF w = load_widened_partial(df, weight + r * stride + c, static_cast<std::size_t>(cols - c));
#pragma GCC unroll 8
      for (int b = 0; b < K; ++b) sums[r][b] = hn::MulAdd(w, hn::LoadU(df, panels + b * kLanes), sums[r][b]);
    }
  }
#pragma GCC unroll 8
  for (int b = 0; b < K; ++b)
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) y[b * y_stride + r] = hn::GetLane(hn::SumOfLanes(df, sums[r][b]));
}

template <int K, typename T>
void apply_tile(const T* weight, Index stride, Index rows, Index cols, const float* panels, float* y,
                Index y_stride) {
  constexpr int kRows = rows_together(K);
  Index r = 0;
  for (; r + kRows <= rows; r += kRows)
    rows_kernel<kRows, K>(weight + r * stride, stride, cols, panels, y + r, y_stride);
  for (; r < rows; ++r) rows_kernel<1, K>(weight + r * stride, stride, cols, panels, y + r, y_stride);
}

template <typename T>
void apply_tile_k(int k, const T* weight, Index stride, Index rows, Index cols, const float* panels, float* y,
                  Index y_stride) {
  switch (k) {
    case 1:
      return apply_tile<1>(weight, stride, rows, cols, panels, y, y_stride);
    case 2:
      return apply_tile<2>(weight, stride, rows, cols, panels, y, y_stride);
    case 3:
      return apply_tile<3>(weight, stride, rows, cols, panels, y, y_stride);
    case 4:
      return apply_tile<4>(weight, stride, rows, cols, panels, y, y_stride);
    case 5:
      return apply_tile<5>(weight, stride, rows, cols, panels, y, y_stride);
    case 6:
      return apply_tile<6>(weight, stride, rows, cols, panels, y, y_stride);
    case 7:
      return apply_tile<7>(weight, stride, rows, cols, panels, y, y_stride);
    default:
      return apply_tile<8>(weight, stride, rows, cols, panels, y, y_stride);
  }
}

void pack_panels_k(int k, ConstMatrixView x, Index first, float* panels) {
  switch (k) {
    case 1:
      return pack_panels<1>(x, first, panels);
    case 2:
      return pack_panels<2>(x, first, panels);
    case 3:
      return pack_panels<3>(x, first, panels);
    case 4:
      return pack_panels<4>(x, first, panels);
    case 5:
      return pack_panels<5>(x, first, panels);
    case 6:
      return pack_panels<6>(x, first, panels);
    case 7:
      return pack_panels<7>(x, first, panels);
    default:
      return pack_panels<8>(x, first, panels);
  }
}

void block_apply_impl(const WeightMatrix& weight, ConstMatrixView x, MatrixView y) {
  constexpr Index kGroup = 8;
  const Index padded = (weight.cols + kLanes - 1) / kLanes * kLanes;
  Matrix panels(x.rows(), padded);
  for (Index b = 0; b < x.rows(); b += kGroup)
    pack_panels_k(static_cast<int>(std::min(kGroup, x.rows() - b)), x, b, panels.data() + b * padded);

  // A tile is a few hundred KiB of weights: it stays in cache while the groups of vectors pass over it.
  const Index tile_rows =
      std::clamp<Index>((Index{1} << 17) / std::max<Index>(1, weight.cols), 8, 256) / 8 * 8;
  parallel_ranges(weight.rows, tile_rows, [&](Index begin, Index end) {
    for (Index b = 0; b < x.rows(); b += kGroup) {
      const int k = static_cast<int>(std::min(kGroup, x.rows() - b));
      const float* group = panels.data() + b * padded;
      float* out = y.data() + b * y.stride() + begin;
      const auto run = [&](const auto* data) {
        apply_tile_k(k, data, weight.stride, end - begin, weight.cols, group, out, y.stride());
      };
      const std::byte* data = weight.row_data(begin);
      if (weight.dtype == DType::kF32)
        run(reinterpret_cast<const float*>(data));
      else if (weight.dtype == DType::kF16)
        run(reinterpret_cast<const hwy::float16_t*>(data));
      else
        run(reinterpret_cast<const hwy::bfloat16_t*>(data));
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace defectoscope
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace defectoscope {

HWY_EXPORT(block_apply_impl);

void block_apply(const WeightMatrix& weight, ConstMatrixView x, MatrixView y) {
  assert(x.cols() == weight.cols && y.cols() == weight.rows && x.rows() == y.rows());
  assert(is_float_compute(weight.dtype));
  HWY_DYNAMIC_DISPATCH(block_apply_impl)(weight, x, y);
}

}  // namespace defectoscope
#endif  // HWY_ONCE
