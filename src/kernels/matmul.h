#pragma once

#include <cstdint>

#include "base/index.h"

namespace defectoscope {

/// One tile's product on the calling thread alone, through oneDNN: C = A Bᵀ + bias, A [m, k], B [n, k] and
/// C [m, n] row-major with the given strides; bias [n] or nullptr. The bytes depend on the arguments and the
/// instruction set only.
void matmul_f32(Index m, Index n, Index k, const float* a, Index a_stride, const float* b, Index b_stride,
                const float* bias, float* c, Index c_stride);
/// The same on bf16 inputs with f32 sums and results. Only where has_native_bf16().
void matmul_bf16(Index m, Index n, Index k, const std::uint16_t* a, Index a_stride, const std::uint16_t* b,
                 Index b_stride, const float* bias, float* c, Index c_stride);
/// C = A Bᵀ on 8-bit integers with exact 32-bit sums, on AMX. False, and nothing written, where there is none
/// or oneDNN would rather take its kernel for VNNI, as it does for small shapes: that one takes the sums
/// through f32.
bool matmul_int8_amx(Index m, Index n, Index k, const std::int8_t* a, Index a_stride, const std::int8_t* b,
                     Index b_stride, std::int32_t* c, Index c_stride);

}  // namespace defectoscope
