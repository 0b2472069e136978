#pragma once

#include <span>

#include "tensor/matrix.h"
#include "tensor/tensor.h"

namespace defectoscope {

/// How the forward pass computes its matrix products.
enum class ComputeType {
  kF32,  ///< weights widened to f32, f32 products and sums
  kBF16  ///< inputs and weights rounded to bf16, f32 sums; needs AVX-512 bf16 or falls back to our own kernel
};

/// True where this processor multiplies bf16 natively through oneDNN.
bool has_native_bf16();

/// Y = X Wᵀ + b, X [m, in], W [out, in] as it lies in the checkpoint, Y [m, out]. `bias` may be empty.
/// Runs at GEMM speed: oneDNN (f32, bf16) on fixed tiles under parallel_for; the same bytes at any thread
/// count. f16 weights are widened (oneDNN 2.6 has no f16 matmul). Thread-safe.
void linear(const WeightMatrix& weight, std::span<const float> bias, ConstMatrixView x, MatrixView y,
            ComputeType compute);

}  // namespace defectoscope
