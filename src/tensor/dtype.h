#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/index.h"

namespace defectoscope {

/// Element types a stored tensor may have. Kernels compute on f32, f16 and bf16; integers are indices or
/// quantized values.
enum class DType { kF64, kF32, kF16, kBF16, kF8E4M3, kF8E5M2, kI64, kI32, kI16, kI8, kU8, kBool };

/// Bytes per element.
Index dtype_size(DType type);
/// "f32", "bf16", ...
std::string_view dtype_name(DType type);
inline bool is_float_compute(DType type) {
  return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16;
}

/// bf16 is the upper half of an f32.
inline float bf16_to_f32(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}
/// Round to nearest even; NaN stays NaN.
inline std::uint16_t f32_to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
/// OCP 8-bit formats. E4M3 has no infinity (its largest is 448); E5M2 is the upper half of an f16.
float f8_e4m3_to_f32(std::uint8_t bits);
float f8_e5m2_to_f32(std::uint8_t bits);
float f16_to_f32(std::uint16_t bits);
/// Round to nearest even.
std::uint16_t f32_to_f16(float value);

}  // namespace defectoscope
