#include "kernels/convert.h"

#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/convert.cc"
#include <hwy/foreach_target.h>
// Highway's order: foreach_target.h first.
#include <hwy/highway.h>

#include "kernels/widen-inl.h"

HWY_BEFORE_NAMESPACE();
namespace defectoscope {
namespace HWY_NAMESPACE {

using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;
using DU = hn::RebindToUnsigned<DF>;
using DHalf = hn::Rebind<std::uint16_t, DF>;
constexpr Index kLanes = static_cast<Index>(hn::MaxLanes(DF()));

/// bf16 bits in the upper halves, lower halves zero.
HWY_INLINE hn::Vec<DU> rounded_bits(VF value) {
  const DF df;
  const DU du;
  const auto bits = hn::BitCast(du, value);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fffu)));
  const auto quiet = hn::Or(bits, hn::Set(du, 0x400000u));
  const auto nan = hn::RebindMask(du, hn::IsNaN(value));
  static_cast<void>(df);
  return hn::And(hn::IfThenElse(nan, quiet, rounded), hn::Set(du, 0xffff0000u));
}

HWY_INLINE void store(VF value, float* out) { hn::StoreU(value, DF(), out); }
HWY_INLINE void store(VF value, std::uint16_t* out) {
  const hn::RebindToSigned<DU> di;
  // Shifted down with zeros, every value fits 16 bits; through int32, the only source DemoteTo takes.
  const auto bits = hn::BitCast(di, hn::ShiftRight<16>(rounded_bits(value)));
  hn::StoreU(hn::DemoteTo(DHalf(), bits), DHalf(), out);
}

/// count values of T to f32 or bf16, rounded through bf16 if kThroughBf16.
template <bool kThroughBf16, typename T, typename Out>
void convert_values(const T* HWY_RESTRICT in, Index count, Out* HWY_RESTRICT out) {
  const DF df;
  const auto value = [&](VF v) HWY_ATTR { return kThroughBf16 ? hn::BitCast(df, rounded_bits(v)) : v; };
  Index i = 0;
  for (; i + kLanes <= count; i += kLanes) store(value(load_widened(df, in + i)), out + i);
  if (i < count) {
    HWY_ALIGN Out tail[static_cast<std::size_t>(kLanes)];
    store(value(load_widened_partial(df, in + i, static_cast<std::size_t>(count - i))), tail);
    std::memcpy(out + i, tail, static_cast<std::size_t>(count - i) * sizeof(Out));
  }
}

template <bool kThroughBf16, typename Out>
void convert_rows(const WeightMatrix& weight, Index first, Index count, Out* out, Index out_stride) {
  for (Index r = 0; r < count; ++r) {
    const std::byte* data = weight.row_data(first + r);
    Out* target = out + r * out_stride;
    if (weight.dtype == DType::kF32)
      convert_values<kThroughBf16>(reinterpret_cast<const float*>(data), weight.cols, target);
    else if (weight.dtype == DType::kF16)
      convert_values<kThroughBf16>(reinterpret_cast<const hwy::float16_t*>(data), weight.cols, target);
    else
      convert_values<kThroughBf16>(reinterpret_cast<const hwy::bfloat16_t*>(data), weight.cols, target);
  }
}

void widen_rows_impl(const WeightMatrix& weight, Index first, Index count, float* out, Index out_stride) {
  convert_rows<false>(weight, first, count, out, out_stride);
}
void round_rows_impl(const WeightMatrix& weight, Index first, Index count, std::uint16_t* out,
                     Index out_stride) {
  convert_rows<false>(weight, first, count, out, out_stride);
}
void round_rows_through_impl(const WeightMatrix& weight, Index first, Index count, float* out,
                             Index out_stride) {
  convert_rows<true>(weight, first, count, out, out_stride);
}
void round_values_impl(const float* values, Index count, std::uint16_t* out) {
  convert_values<false>(values, count, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace defectoscope
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace defectoscope {

HWY_EXPORT(widen_rows_impl);
HWY_EXPORT(round_rows_impl);
HWY_EXPORT(round_rows_through_impl);
HWY_EXPORT(round_values_impl);

void widen_rows(const WeightMatrix& weight, Index first, Index count, float* out, Index out_stride) {
  HWY_DYNAMIC_DISPATCH(widen_rows_impl)(weight, first, count, out, out_stride);
}

void round_rows_to_bf16(const WeightMatrix& weight, Index first, Index count, std::uint16_t* out,
                        Index out_stride) {
  HWY_DYNAMIC_DISPATCH(round_rows_impl)(weight, first, count, out, out_stride);
}

void round_rows_through_bf16(const WeightMatrix& weight, Index first, Index count, float* out,
                             Index out_stride) {
  HWY_DYNAMIC_DISPATCH(round_rows_through_impl)(weight, first, count, out, out_stride);
}

void round_to_bf16(const float* values, Index count, std::uint16_t* out) {
  HWY_DYNAMIC_DISPATCH(round_values_impl)(values, count, out);
}

}  // namespace defectoscope
#endif  // HWY_ONCE
