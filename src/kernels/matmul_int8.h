#pragma once

#include <cstdint>

#include "base/index.h"

namespace defectoscope {

/// C = A Bᵀ on 8-bit integers with 32-bit sums, exactly: A [m, k], B [n, k], C [m, n], row-major with the
/// given strides; values of −128 are not allowed, k at most kMostInt8Inputs. On the calling thread alone.
///
/// Through oneDNN where the processor multiplies bytes into 32-bit sums (VNNI, AMX): without, oneDNN 2.6 adds
/// pairs in 16 bits, which saturates. Elsewhere by a kernel that widens to 16 bits first. Being exact, both
/// give the same integers.
void matmul_int8(Index m, Index n, Index k, const std::int8_t* a, Index a_stride, const std::int8_t* b,
                 Index b_stride, std::int32_t* c, Index c_stride);

/// Sums of so many products of 127² still fit into 32 bits.
inline constexpr Index kMostInt8Inputs = 133'000;

/// Whether matmul_int8 goes through oneDNN here.
bool has_native_int8();

/// The kernel that runs without VNNI, for tests and comparison.
void matmul_int8_portable(Index m, Index n, Index k, const std::int8_t* a, Index a_stride,
                          const std::int8_t* b, Index b_stride, std::int32_t* c, Index c_stride);

}  // namespace defectoscope
