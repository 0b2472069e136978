#include "kernels/gemm.h"

#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

#include "base/parallel.h"
#include "kernels/block_apply.h"
#include "kernels/convert.h"
#include "kernels/gemm_tiles.h"
#include "kernels/kept_buffer.h"
#include "kernels/matmul.h"
#include "kernels/onednn_isa.h"

namespace defectoscope {
namespace {

/// Up to so many rows block_apply, which needs no packing of the weights, is the fastest; measured on Zen 4.
constexpr Index few_rows(ComputeType compute) { return compute == ComputeType::kBF16 ? 24 : 96; }

/// X rounded to bf16, by rows in parallel; [m, in] in a buffer of this thread, valid until its next call.
const std::uint16_t* rounded(ConstMatrixView x) {
  thread_local std::vector<std::uint16_t> buffer;
  std::uint16_t* result = at_least(buffer, x.rows() * x.cols());
  parallel_ranges(x.rows(), 16, [&](Index begin, Index end) {
    for (Index r = begin; r < end; ++r)
      round_to_bf16(x.data() + r * x.stride(), x.cols(), result + r * x.cols());
  });
  return result;
}

/// X rounded through bf16 and kept as f32.
Matrix rounded_as_f32(ConstMatrixView x) {
  Matrix result(x.rows(), x.cols());
  parallel_ranges(x.rows(), 16, [&](Index begin, Index end) {
    for (Index r = begin; r < end; ++r)
      for (Index c = 0; c < x.cols(); ++c) result(r, c) = bf16_to_f32(f32_to_bf16(x(r, c)));
  });
  return result;
}

void linear_bf16(const WeightMatrix& weight, const float* bias, ConstMatrixView x, MatrixView y) {
  const std::uint16_t* input = rounded(x);
  const Index k = weight.cols;
  for_gemm_tiles(x.rows(), weight.rows, {}, [&](Index row, Index rows, Index first, Index count) {
    thread_local std::vector<std::uint16_t> scratch;
    const auto* tile = reinterpret_cast<const std::uint16_t*>(weight.row_data(first));
    Index stride = weight.stride;
    if (weight.dtype != DType::kBF16) {
      scratch.resize(static_cast<std::size_t>(count * k));
      round_rows_to_bf16(weight, first, count, scratch.data(), k);
      tile = scratch.data();
      stride = k;
    }
    matmul_bf16(rows, count, k, input + row * k, k, tile, stride, bias == nullptr ? nullptr : bias + first,
                y.data() + row * y.stride() + first, y.stride());
  });
}

/// f32 products; weights first rounded through bf16 if `through_bf16`.
void linear_f32(const WeightMatrix& weight, const float* bias, ConstMatrixView x, MatrixView y,
                bool through_bf16) {
  const Index k = weight.cols;
  for_gemm_tiles(x.rows(), weight.rows, {}, [&](Index row, Index rows, Index first, Index count) {
    thread_local std::vector<float> scratch;
    const auto* tile = reinterpret_cast<const float*>(weight.row_data(first));
    Index stride = weight.stride;
    if (weight.dtype != DType::kF32 || through_bf16) {
      scratch.resize(static_cast<std::size_t>(count * k));
      if (through_bf16)
        round_rows_through_bf16(weight, first, count, scratch.data(), k);
      else
        widen_rows(weight, first, count, scratch.data(), k);
      tile = scratch.data();
      stride = k;
    }
    matmul_f32(rows, count, k, x.data() + row * x.stride(), x.stride(), tile, stride,
               bias == nullptr ? nullptr : bias + first, y.data() + row * y.stride() + first, y.stride());
  });
}

}  // namespace

bool has_native_bf16() {
  static const bool native = onednn_has(dnnl::cpu_isa::avx512_core_bf16);
  return native;
}

bool has_fast_bf16() {
#if defined(__x86_64__)
  static const bool fast =
      has_native_bf16() && (onednn_has(dnnl::cpu_isa::avx512_core_amx) || !__builtin_cpu_is("intel"));
  return fast;
#else
  return has_native_bf16();
#endif
}

void linear(const WeightMatrix& weight, std::span<const float> bias, ConstMatrixView x, MatrixView y,
            ComputeType compute) {
  assert(x.cols() == weight.cols && y.cols() == weight.rows && x.rows() == y.rows());
  assert(bias.empty() || static_cast<Index>(bias.size()) == weight.rows);
  assert(is_float_compute(weight.dtype));
  if (x.rows() == 0 || weight.rows == 0) return;
  const float* bias_data = bias.empty() ? nullptr : bias.data();
  if (x.rows() <= few_rows(compute) || weight.cols == 0) {
    block_apply(weight, x, y);
    if (bias_data != nullptr)
      parallel_for(y.rows(), [&](Index r) {
        for (Index c = 0; c < y.cols(); ++c) y(r, c) += bias_data[c];
      });
  } else if (compute == ComputeType::kF32) {
    linear_f32(weight, bias_data, x, y, false);
  } else if (has_native_bf16()) {
    linear_bf16(weight, bias_data, x, y);
  } else {
    linear_f32(weight, bias_data, rounded_as_f32(x), y, true);
  }
}

}  // namespace defectoscope
