#include "kernels/block_apply.h"
#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/block_apply_transpose.cc"
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
/// Rows whose products are summed in registers before the sums go back to memory.
constexpr int kRowsTogether = 16;

/// Vectors of columns handled together for K vectors of the block.
constexpr int columns_together(int k) {
  const int budget = kRegisters == 32 ? 24 : 12;
  const int columns = budget / k;
  return columns > 4 ? 4 : columns < 1 ? 1 : columns;
}

/// sums[b, c] += sum over R rows of W[r, c] x[r, b], for C vectors of columns; x [R, K] packed.
template <int R, int C, int K, typename T>
HWY_INLINE void columns_kernel(const T* HWY_RESTRICT weight, Index stride, const float* HWY_RESTRICT x,
                               float* HWY_RESTRICT sums, Index sums_stride) {
  const DF df;
  VF acc[C][K];
#pragma GCC unroll 8
  for (int b = 0; b < K; ++b)
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) acc[c][b] = hn::LoadU(df, sums + b * sums_stride + c * kLanes);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    VF w[C];
    // A tile's rows are too short for the hardware to foresee the next ones.
    for (int c = 0; c < C * kLanes; c += 64 / static_cast<int>(sizeof(T)))
      prefetch(weight, ((r + R) * stride + c) * static_cast<Index>(sizeof(T)));
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) w[c] = load_widened(df, weight + r * stride + c * kLanes);
#pragma GCC unroll 8
    for (int b = 0; b < K; ++b) {
      const VF factor = kept_in_register(hn::Set(df, x[r * K + b]));
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) acc[c][b] = hn::MulAdd(w[c], factor, acc[c][b]);
    }
  }
#pragma GCC unroll 8
  for (int b = 0; b < K; ++b)
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) hn::StoreU(acc[c][b], df, sums + b * sums_stride + c * kLanes);
}

template <int R, int K, typename T>
void rows_over_columns(const T* weight, Index stride, Index cols, const float* x, float* sums,
                       Index sums_stride) {
  constexpr int kColumns = columns_together(K);
  Index c = 0;
  for (; c + kColumns * kLanes <= cols; c += kColumns * kLanes)
    columns_kernel<R, kColumns, K>(weight + c, stride, x, sums + c, sums_stride);
  for (; c + kLanes <= cols; c += kLanes)
    columns_kernel<R, 1, K>(weight + c, stride, x, sums + c, sums_stride);
  if (c < cols) {
    HWY_ALIGN T tail[static_cast<std::size_t>(R * kLanes)] = {};
    for (int r = 0; r < R; ++r)
      std::memcpy(static_cast<void*>(tail + r * kLanes), static_cast<const void*>(weight + r * stride + c),
                  static_cast<std::size_t>(cols - c) * sizeof(T));
    columns_kernel<R, 1, K>(tail, kLanes, x, sums + c, sums_stride);
  }
}

template <int K, typename T>
void apply_rows(const T* weight, Index stride, Index rows, Index cols, const float* x, float* sums,
                Index sums_stride) {
  Index r = 0;
  for (; r + kRowsTogether <= rows; r += kRowsTogether)
    rows_over_columns<kRowsTogether, K>(weight + r * stride, stride, cols, x + r * K, sums, sums_stride);
  for (; r < rows; ++r)
    rows_over_columns<1, K>(weight + r * stride, stride, cols, x + r * K, sums, sums_stride);
}

template <typename T>
void apply_rows_k(int k, const T* weight, Index stride, Index rows, Index cols, const float* x, float* sums,
                  Index sums_stride) {
  switch (k) {
    case 1:
      return apply_rows<1>(weight, stride, rows, cols, x, sums, sums_stride);
    case 2:
      return apply_rows<2>(weight, stride, rows, cols, x, sums, sums_stride);
    case 3:
      return apply_rows<3>(weight, stride, rows, cols, x, sums, sums_stride);
    case 4:
      return apply_rows<4>(weight, stride, rows, cols, x, sums, sums_stride);
    case 5:
      return apply_rows<5>(weight, stride, rows, cols, x, sums, sums_stride);
    case 6:
      return apply_rows<6>(weight, stride, rows, cols, x, sums, sums_stride);
    case 7:
      return apply_rows<7>(weight, stride, rows, cols, x, sums, sums_stride);
    default:
      return apply_rows<8>(weight, stride, rows, cols, x, sums, sums_stride);
  }
}

void block_apply_transpose_impl(const WeightMatrix& weight, ConstMatrixView x, MatrixView y) {
  constexpr Index kGroup = 8;
  constexpr Index kTileCols = 1024;
  constexpr Index kTileRows = 2048;
  const Index k = x.rows();
  // x by groups of vectors, [rows, group] each: the kernel broadcasts neighbours.
  std::vector<float> packed(static_cast<std::size_t>(k * weight.rows));
  for (Index b = 0; b < k; ++b) {
    const Index first = b / kGroup * kGroup;
    const Index group = std::min(kGroup, k - first);
    float* out = packed.data() + first * weight.rows + (b - first);
    for (Index r = 0; r < weight.rows; ++r) out[r * group] = x(b, r);
  }

  const Index row_tiles = std::max<Index>(1, (weight.rows + kTileRows - 1) / kTileRows);
  const Index col_tiles = (weight.cols + kTileCols - 1) / kTileCols;
  const Index padded = col_tiles * kTileCols;
  Matrix partial(row_tiles * k, padded);
  parallel_for(row_tiles * col_tiles, [&](Index tile) {
    const Index r0 = tile / col_tiles * kTileRows;
    const Index c0 = tile % col_tiles * kTileCols;
    const Index cols = std::min(kTileCols, weight.cols - c0);
    const Index rows = std::min(kTileRows, weight.rows - r0);
    float* sums = partial.data() + (tile / col_tiles) * k * padded + c0;
    const auto run = [&](const auto* data) {
      // Few rows at a time, so that they are still in cache for the next group of vectors.
      constexpr Index kStep = 64;
      for (Index r = 0; r < rows; r += kStep)
        for (Index b = 0; b < k; b += kGroup) {
          const Index group = std::min(kGroup, k - b);
          apply_rows_k(static_cast<int>(group), data + r * weight.stride, weight.stride,
                       std::min(kStep, rows - r), cols, packed.data() + b * weight.rows + (r0 + r) * group,
                       sums + b * padded, padded);
        }
    };
    const std::byte* data = weight.row_data(r0) + c0 * dtype_size(weight.dtype);
    if (weight.dtype == DType::kF32)
      run(reinterpret_cast<const float*>(data));
    else if (weight.dtype == DType::kF16)
      run(reinterpret_cast<const hwy::float16_t*>(data));
    else
      run(reinterpret_cast<const hwy::bfloat16_t*>(data));
  });
  for (Index b = 0; b < k; ++b)
    for (Index c = 0; c < weight.cols; ++c) {
      float sum = partial(b, c);
      for (Index t = 1; t < row_tiles; ++t) sum += partial(t * k + b, c);
      y(b, c) = sum;
    }
}

}  // namespace HWY_NAMESPACE
}  // namespace defectoscope
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace defectoscope {

HWY_EXPORT(block_apply_transpose_impl);

void block_apply_transpose(const WeightMatrix& weight, ConstMatrixView x, MatrixView y) {
  assert(x.cols() == weight.rows && y.cols() == weight.cols && x.rows() == y.rows());
  assert(is_float_compute(weight.dtype));
  HWY_DYNAMIC_DISPATCH(block_apply_transpose_impl)(weight, x, y);
}

}  // namespace defectoscope
#endif  // HWY_ONCE
