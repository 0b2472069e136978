#pragma once

#include <cstdint>
#include <span>

#include "tensor/matrix.h"

namespace defectoscope {

/// The largest |x|; NaN or infinity where x holds one, wherever it stands.
float max_abs(std::span<const float> x);
/// maxima[j] := max(maxima[j], |x_ij| over the rows i); maxima [cols] holds no NaN before.
void raise_column_maxima(ConstMatrixView x, std::span<float> maxima);

/// The step of symmetric quantization to integers −limit .. limit: max / limit; 1 where that is zero, so that
/// zeros are zeros.
float symmetric_step(float max, int limit);

/// out_i = x_i / step rounded to the nearest integer, ties to even, then clamped to ±limit; limit ≤ 127.
/// Finite x. On the caller's thread, as all of these.
void quantize_int8(std::span<const float> x, float step, int limit, std::int8_t* out);
/// The same, times step again, in place; limit ≤ 2^15.
void quantize_dequantize(std::span<float> x, float step, int limit);
/// x rounded to FP8 e4m3 (4 exponent bits, 3 of mantissa, no infinity, largest 448) in units of `scale`, in
/// place; beyond ±448 it saturates.
void quantize_dequantize_e4m3(std::span<float> x, float scale);

/// y_j = sums_j · (row_step · steps_j) + bias_j; `steps` has one entry for all j, or one each; bias may be
/// empty.
void rescale(std::span<const std::int32_t> sums, float row_step, std::span<const float> steps,
             std::span<const float> bias, float* y);

}  // namespace defectoscope
