#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tensor/matrix.h"
#include "tensor/tensor.h"

namespace defectoscope {

using Int8Matrix = BasicMatrix<std::int8_t>;

/// A matrix as integers times steps.
struct Int8Weight {
  Int8Matrix integers;       ///< [out, in], −limit .. limit
  std::vector<float> steps;  ///< one, or one for each output
};

/// Rows of inputs as integers times steps. Owns nothing.
struct Int8Rows {
  BasicMatrixView<const std::int8_t> integers;  ///< [m, in]
  std::span<const float> steps;                 ///< [m]
};

/// W with one step max|W| / limit for the whole, or (`per_output`) one for each row. `max`: max|W| where it
/// is known, such as that of a larger matrix this one is a part of; 0 finds it. Throws Error(kBadInput),
/// naming the tensor, where W holds NaN or infinity, and where it has more than kMostInt8Inputs columns.
Int8Weight quantize_weight(const WeightMatrix& weight, int limit, bool per_output, float max = 0);
/// max|W|, in parallel. Throws Error(kBadInput), naming the tensor, where W holds NaN or infinity.
float weight_max(const WeightMatrix& weight);

/// Rows quantized with the given steps [m], which stay the caller's. The integers lie in a buffer of this
/// thread, valid until its next call.
Int8Rows quantize_rows(ConstMatrixView x, std::span<const float> steps, int limit);

/// Y = X Wᵀ + b from the integers: exact 32-bit sums, then one product and one sum in f32. The same bytes at
/// any thread count. y [m, out].
void linear_int8(const Int8Weight& weight, std::span<const float> bias, const Int8Rows& x, MatrixView y);

}  // namespace defectoscope
