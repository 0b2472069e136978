#include "kernels/quantize.h"

#include <bit>
#include <cassert>
#include <cmath>

#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quantize.cc"
#include <hwy/foreach_target.h>
// Highway's order: foreach_target.h first.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace defectoscope {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using DI = hn::Rebind<std::int32_t, DF>;
constexpr std::size_t kLanes = hn::MaxLanes(DF());

/// |x| as bits: among numbers without sign the order of the bits is the order of the values, infinity and NaN
/// above all.
HWY_INLINE hn::Vec<DI> magnitude_bits(hn::Vec<DF> x) { return hn::BitCast(DI(), hn::Abs(x)); }

float max_abs_impl(const float* x, std::size_t count) {
  const DI di;
  auto most = hn::Zero(di);
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) most = hn::Max(most, magnitude_bits(hn::LoadU(DF(), x + i)));
  std::int32_t result = hn::GetLane(hn::MaxOfLanes(di, most));
  for (; i < count; ++i) result = std::max(result, std::bit_cast<std::int32_t>(std::abs(x[i])));
  return std::bit_cast<float>(result);
}

void raise_maxima_impl(const float* x, std::size_t count, float* maxima) {
  const DF df;
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const auto most =
        hn::Max(magnitude_bits(hn::LoadU(df, x + i)), magnitude_bits(hn::LoadU(df, maxima + i)));
    hn::StoreU(hn::BitCast(df, most), df, maxima + i);
  }
  for (; i < count; ++i) {
    const auto most =
        std::max(std::bit_cast<std::int32_t>(std::abs(x[i])), std::bit_cast<std::int32_t>(maxima[i]));
    maxima[i] = std::bit_cast<float>(most);
  }
}

/// The quantized values as integers. Clamping before rounding is the same as after: the limits are integers.
HWY_INLINE hn::Vec<DI> integers(hn::Vec<DF> x, hn::Vec<DF> step, hn::Vec<DF> limit) {
  const auto scaled = hn::Div(x, step);
  return hn::NearestInt(hn::Min(hn::Max(scaled, hn::Neg(limit)), limit));
}

void quantize_impl(const float* x, std::size_t count, float step, float limit, std::int8_t* out) {
  const DF df;
  const hn::Rebind<std::int16_t, DF> d16;
  const hn::Rebind<std::int8_t, DF> d8;
  const auto steps = hn::Set(df, step), limits = hn::Set(df, limit);
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    hn::StoreU(hn::DemoteTo(d8, hn::DemoteTo(d16, integers(hn::LoadU(df, x + i), steps, limits))), d8,
               out + i);
  for (; i < count; ++i)
    out[i] = static_cast<std::int8_t>(hn::GetLane(integers(hn::Set(df, x[i]), steps, limits)));
}

void quantize_dequantize_impl(float* x, std::size_t count, float step, float limit) {
  const DF df;
  const auto steps = hn::Set(df, step), limits = hn::Set(df, limit);
  const auto rounded = [&](hn::Vec<DF> v)
                           HWY_ATTR { return hn::Mul(hn::ConvertTo(df, integers(v, steps, limits)), steps); };
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) hn::StoreU(rounded(hn::LoadU(df, x + i)), df, x + i);
  for (; i < count; ++i) x[i] = hn::GetLane(rounded(hn::Set(df, x[i])));
}

void rescale_impl(const std::int32_t* sums, std::size_t count, float row_step, const float* steps,
                  std::size_t step_count, const float* bias, float* y) {
  const DF df;
  const DI di;
  const auto row = hn::Set(df, row_step);
  const auto common = hn::Mul(row, hn::Set(df, steps[0]));
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const auto step = step_count == 1 ? common : hn::Mul(row, hn::LoadU(df, steps + i));
    auto value = hn::Mul(hn::ConvertTo(df, hn::LoadU(di, sums + i)), step);
    if (bias != nullptr) value = hn::Add(value, hn::LoadU(df, bias + i));
    hn::StoreU(value, df, y + i);
  }
  for (; i < count; ++i) {
    const float step = row_step * steps[step_count == 1 ? 0 : i];
    y[i] = static_cast<float>(sums[i]) * step;
    if (bias != nullptr) y[i] += bias[i];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace defectoscope
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace defectoscope {

HWY_EXPORT(max_abs_impl);
HWY_EXPORT(raise_maxima_impl);
HWY_EXPORT(quantize_impl);
HWY_EXPORT(quantize_dequantize_impl);
HWY_EXPORT(rescale_impl);

float max_abs(std::span<const float> x) { return HWY_DYNAMIC_DISPATCH(max_abs_impl)(x.data(), x.size()); }

void raise_column_maxima(ConstMatrixView x, std::span<float> maxima) {
  assert(static_cast<Index>(maxima.size()) == x.cols());
  for (Index r = 0; r < x.rows(); ++r)
    HWY_DYNAMIC_DISPATCH(raise_maxima_impl)(x.row(r).data(), maxima.size(), maxima.data());
}

float symmetric_step(float max, int limit) {
  const float step = max / static_cast<float>(limit);
  return step == 0 ? 1 : step;
}

void quantize_int8(std::span<const float> x, float step, int limit, std::int8_t* out) {
  assert(limit <= 127);
  HWY_DYNAMIC_DISPATCH(quantize_impl)(x.data(), x.size(), step, static_cast<float>(limit), out);
}

void quantize_dequantize(std::span<float> x, float step, int limit) {
  HWY_DYNAMIC_DISPATCH(quantize_dequantize_impl)(x.data(), x.size(), step, static_cast<float>(limit));
}

void quantize_dequantize_e4m3(std::span<float> x, float scale) {
  constexpr float kLargest = 448, kSmallestNormal = 0x1p-6f;
  for (float& value : x) {
    const float scaled = std::min(std::max(value / scale, -kLargest), kLargest);
    // One unit of the last of three mantissa bits; subnormals share the smallest normal's.
    const float power = std::max(std::abs(scaled), kSmallestNormal);
    const auto exponent = std::bit_cast<std::uint32_t>(power) & 0x7f800000u;
    const float unit = std::bit_cast<float>(exponent) * 0x1p-3f;
    value = std::nearbyint(scaled / unit) * unit * scale;
  }
}

void rescale(std::span<const std::int32_t> sums, float row_step, std::span<const float> steps,
             std::span<const float> bias, float* y) {
  assert(steps.size() == 1 || steps.size() == sums.size());
  assert(bias.empty() || bias.size() == sums.size());
  HWY_DYNAMIC_DISPATCH(rescale_impl)
  (sums.data(), sums.size(), row_step, steps.data(), steps.size(), bias.empty() ? nullptr : bias.data(), y);
}

}  // namespace defectoscope
#endif  // HWY_ONCE
