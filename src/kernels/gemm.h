#pragma once

#include <span>

#include "tensor/matrix.h"
#include "tensor/tensor.h"

namespace defectoscope {

/// How the forward pass computes its matrix products.
enum class ComputeType {
  kF32,  ///< weights widened to f32, f32 products and sums
  kBF16  ///< inputs and weights rounded to bf16, f32 sums
};

/// True where this processor multiplies bf16 natively through oneDNN.
bool has_native_bf16();
/// True where it does so faster than in f32: with AMX, or AVX512-BF16 on other processors than Intel's, whose
/// dot product alone takes longer than the f32 products it replaces (Emerald Rapids without AMX, as virtual
/// machines often show it: oneDNN at 165 GFLOP/s in bf16, 295 in f32, on two cores).
bool has_fast_bf16();

/// Y = X Wᵀ + b, X [m, in], W [out, in] as it lies in the checkpoint, Y [m, out]. `bias` may be empty.
///
/// Many rows run at GEMM speed: oneDNN on tiles fixed by the shape under parallel_for, so the bytes are the
/// same at any thread count. kF32 widens f16 and bf16 weights tile by tile; kBF16 rounds X once and f16 and
/// f32 weights tile by tile (oneDNN 2.6 has no f16 matmul). Where has_native_bf16() is false kBF16 rounds all
/// the same and multiplies in f32. Few rows (decoding: up to 24 in kBF16, 96 in kF32) go through block_apply,
/// which rounds nothing: there kBF16 is more exact than it promises. Thread-safe; needs m · in · 2 bytes for
/// X in bf16.
void linear(const WeightMatrix& weight, std::span<const float> bias, ConstMatrixView x, MatrixView y,
            ComputeType compute);

}  // namespace defectoscope
