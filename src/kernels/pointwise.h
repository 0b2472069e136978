#pragma once

#include <span>

#include "tensor/matrix.h"

namespace defectoscope {

/// Rows of x scaled to unit rms: out = x / sqrt(mean(x²) + eps) · gain. f64 sums. out may be x.
void rms_norm(ConstMatrixView x, std::span<const float> gain, double eps, MatrixView out);
/// out = (x − mean) / sqrt(var + eps) · gain + shift; shift may be empty.
void layer_norm(ConstMatrixView x, std::span<const float> gain, std::span<const float> shift, double eps,
                MatrixView out);

/// Elementwise, in place, on fixed pieces in parallel. Accurate to a few ulp of the result, far tails
/// included, but for gelu_tanh and quick_gelu, whose exponent is rounded as the formula says.
void silu(std::span<float> x);
void gelu_erf(std::span<float> x);
void gelu_tanh(std::span<float> x);
void quick_gelu(std::span<float> x);
void relu(std::span<float> x);
void relu2(std::span<float> x);
/// x *= y, x += y; equal lengths.
void multiply(std::span<float> x, std::span<const float> y);
void add(std::span<float> x, std::span<const float> y);

/// Softmax of a row, in place, computed from the row's maximum; −inf entries become 0 (all of
/// them: a row of zeros). On the caller's thread.
void softmax(std::span<float> row);
/// Euclidean norm, f64 sum.
double norm(std::span<const float> x);
double dot(std::span<const float> x, std::span<const float> y);

}  // namespace defectoscope
