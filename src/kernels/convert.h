#pragma once

#include <cstdint>

#include "tensor/tensor.h"

namespace defectoscope {

/// Vectorised dtype conversions on the caller's thread; rows [first, first + count) of `weight`.

/// As f32; `out` has rows out_stride floats apart.
void widen_rows(const WeightMatrix& weight, Index first, Index count, float* out, Index out_stride);
/// Rounded to bf16, nearest even.
void round_rows_to_bf16(const WeightMatrix& weight, Index first, Index count, std::uint16_t* out,
                        Index out_stride);
/// Rounded to bf16, kept as f32.
void round_rows_through_bf16(const WeightMatrix& weight, Index first, Index count, float* out,
                             Index out_stride);
/// f32 values to bf16, nearest even; NaN stays NaN.
void round_to_bf16(const float* values, Index count, std::uint16_t* out);

}  // namespace defectoscope
