// Stored weights to f32 vectors. Compiled once per instruction set: no #pragma once, Highway's toggle
// instead.
#if defined(DEFECTOSCOPE_KERNELS_WIDEN_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef DEFECTOSCOPE_KERNELS_WIDEN_INL_H_
#undef DEFECTOSCOPE_KERNELS_WIDEN_INL_H_
#else
#define DEFECTOSCOPE_KERNELS_WIDEN_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>
#include <cstring>

#include "base/index.h"

HWY_BEFORE_NAMESPACE();
namespace defectoscope {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Lanes(df) values from p, which need not be aligned, as f32.
template <class DF>
HWY_INLINE hn::Vec<DF> load_widened(DF df, const float* p) {
  return hn::LoadU(df, p);
}
template <class DF>
HWY_INLINE hn::Vec<DF> load_widened(DF df, const hwy::float16_t* p) {
#if HWY_ARCH_X86 && HWY_TARGET > HWY_AVX2
  // Without F16C Highway 1.0.3 takes infinities and NaN for numbers. Here the exponent is re-biased by an
  // exact multiplication, which also brings subnormals right.
  const hn::Rebind<std::uint16_t, DF> d16;
  const hn::Rebind<std::uint32_t, DF> d32;
  const auto bits = hn::PromoteTo(d32, hn::LoadU(d16, reinterpret_cast<const std::uint16_t*>(p)));
  const auto magnitude = hn::And(bits, hn::Set(d32, 0x7fffu));
  const auto sign = hn::ShiftLeft<16>(hn::Sub(bits, magnitude));
  const auto scaled = hn::Mul(hn::BitCast(df, hn::ShiftLeft<13>(magnitude)), hn::Set(df, 0x1p112f));
  const auto all_ones = hn::Set(d32, 0x7f800000u);
  const auto special = hn::IfThenElseZero(hn::Gt(magnitude, hn::Set(d32, 0x7bffu)), all_ones);
  return hn::BitCast(df, hn::Or(hn::Or(hn::BitCast(d32, scaled), special), sign));
#else
  return hn::PromoteTo(df, hn::LoadU(hn::Rebind<hwy::float16_t, DF>(), p));
#endif
}
template <class DF>
HWY_INLINE hn::Vec<DF> load_widened(DF df, const hwy::bfloat16_t* p) {
  const hn::Rebind<std::uint16_t, DF> d16;
  const hn::Rebind<std::uint32_t, DF> d32;
  const auto bits = hn::LoadU(d16, reinterpret_cast<const std::uint16_t*>(p));
  return hn::BitCast(df, hn::ShiftLeft<16>(hn::PromoteTo(d32, bits)));
}

/// The first `count` < Lanes(df) values, zeros after them; reads nothing beyond.
template <class DF, typename T>
HWY_INLINE hn::Vec<DF> load_widened_partial(DF df, const T* p, std::size_t count) {
  HWY_ALIGN T padded[HWY_MAX_BYTES / sizeof(float)] = {};
  std::memcpy(static_cast<void*>(padded), static_cast<const void*>(p), count * sizeof(T));
  return load_widened(df, padded);
}

/// Stops the compiler from turning one load with many uses into as many memory operands: the load ports, not
/// the FMA units, would then set the pace (91 instead of 108 GFLOP/s on a Zen 4 core).
template <class V>
HWY_INLINE V kept_in_register(V v) {
#if HWY_ARCH_X86 && HWY_COMPILER_GCC_ACTUAL
  asm("" : "+v"(v.raw));
#endif
  return v;
}

/// Asks for the cache line `bytes` past p in the second-level cache. It may lie outside any array, which is
/// why the address is not computed as a pointer.
HWY_INLINE void prefetch(const void* p, Index bytes) {
  __builtin_prefetch(
      reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(p) + static_cast<std::uintptr_t>(bytes)),
      0, 2);
}

}  // namespace HWY_NAMESPACE
}  // namespace defectoscope
HWY_AFTER_NAMESPACE();

#endif  // DEFECTOSCOPE_KERNELS_WIDEN_INL_H_
