#include "kernels/pointwise.h"

#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/pointwise.cc"
#include <hwy/foreach_target.h>
// Highway's order: foreach_target.h first.
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace defectoscope {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;
using DD = hn::ScalableTag<double>;
using VD = hn::Vec<DD>;
constexpr std::size_t kLanes = hn::MaxLanes(DF());
constexpr std::size_t kDoubles = hn::MaxLanes(DD());

HWY_INLINE VF constant(float value) { return hn::Set(DF(), value); }

/// x · 1/(1 + e^{−s}) without overflow or cancellation on either side.
HWY_INLINE VF times_sigmoid(VF x, VF s) {
  const DF df;
  const VF z = hn::Exp(df, hn::Neg(hn::Abs(s)));
  const VF numerator = hn::IfThenElse(hn::Lt(s, hn::Zero(df)), hn::Mul(x, z), x);
  return hn::Div(numerator, hn::Add(constant(1), z));
}

struct Silu {
  HWY_INLINE VF operator()(VF x) const { return times_sigmoid(x, x); }
};
struct QuickGelu {
  HWY_INLINE VF operator()(VF x) const { return times_sigmoid(x, hn::Mul(x, constant(1.702f))); }
};
/// ½x(1 + tanh(√(2/π)(x + 0.044715x³))) = x · sigmoid of twice the tanh's argument.
struct GeluTanh {
  HWY_INLINE VF operator()(VF x) const {
    const VF square = hn::Mul(x, x);
    const VF inner = hn::MulAdd(hn::Mul(constant(0.044715f), square), x, x);
    return times_sigmoid(x, hn::Mul(inner, constant(1.5957691216057308f)));
  }
};
/// xΦ(x). Φ(−a) = φ(a)·m(a), where Mills' ratio m is smooth: (a + 3)·m(a) is a polynomial of degree 9 in
/// t = (a − 3)/(a + 3), fitted to 2e-8 relative on a ≤ 15, beyond which φ is zero in f32.
struct GeluErf {
  HWY_INLINE VF operator()(VF x) const {
    const DF df;
    const VF a = hn::Min(hn::Abs(x), constant(15));
    const VF sum = hn::Add(a, constant(3));
    const VF t = hn::Div(hn::Sub(a, constant(3)), sum);
    VF mills = constant(0.00013514251622837037f);
    for (const float coefficient : {-0.0005009712767787278f, -0.0023722404148429632f, 0.0025417839642614126f,
                                    0.017387038096785545f, -0.026223568245768547f, -0.11845805495977402f,
                                    0.5765687227249146f, -1.2767064571380615f, 1.8275418281555176f})
      mills = hn::MulAdd(mills, t, constant(coefficient));
    // φ(a) with a² exact (where there is an FMA): its rounding error times a²/2 would spoil the tail.
    const VF square = hn::Mul(a, a);
    const VF lost = hn::MulSub(a, a, square);
    const VF density = hn::Mul(hn::Exp(df, hn::Mul(constant(-0.5f), square)), constant(0.3989422804014327f));
    const VF corrected = hn::NegMulAdd(hn::Mul(density, constant(0.5f)), lost, density);
    const VF below = hn::Div(hn::Mul(corrected, mills), sum);  // Φ(−a)
    return hn::Mul(x, hn::IfThenElse(hn::Lt(x, hn::Zero(df)), below, hn::Sub(constant(1), below)));
  }
};
struct Relu {
  HWY_INLINE VF operator()(VF x) const { return hn::Max(x, hn::Zero(DF())); }
};
struct Relu2 {
  HWY_INLINE VF operator()(VF x) const {
    const VF positive = hn::Max(x, hn::Zero(DF()));
    return hn::Mul(positive, positive);
  }
};

/// f on every value of x; the tail is computed in a whole vector too, so a value's place does not matter.
template <typename Function>
void map_values(float* HWY_RESTRICT x, std::size_t count, Function f) {
  const DF df;
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) hn::StoreU(f(hn::LoadU(df, x + i)), df, x + i);
  if (i == count) return;
  HWY_ALIGN float tail[kLanes] = {};
  std::memcpy(tail, x + i, (count - i) * sizeof(float));
  hn::Store(f(hn::Load(df, tail)), df, tail);
  std::memcpy(x + i, tail, (count - i) * sizeof(float));
}

void silu_impl(float* x, std::size_t count) { map_values(x, count, Silu()); }
void gelu_erf_impl(float* x, std::size_t count) { map_values(x, count, GeluErf()); }
void gelu_tanh_impl(float* x, std::size_t count) { map_values(x, count, GeluTanh()); }
void quick_gelu_impl(float* x, std::size_t count) { map_values(x, count, QuickGelu()); }
void relu_impl(float* x, std::size_t count) { map_values(x, count, Relu()); }
void relu2_impl(float* x, std::size_t count) { map_values(x, count, Relu2()); }

/// Sum over i of f(x[i], y[i]) in f64, f on vectors of doubles, four sums side by side.
template <typename Function>
double sum_doubles(const float* HWY_RESTRICT x, const float* HWY_RESTRICT y, std::size_t count, Function f) {
  const DD dd;
  const hn::Rebind<float, DD> half;
  const auto load = [&](const float* p) HWY_ATTR { return hn::PromoteTo(dd, hn::LoadU(half, p)); };
  VD s0 = hn::Zero(dd), s1 = s0, s2 = s0, s3 = s0;
  std::size_t i = 0;
  for (; i + 4 * kDoubles <= count; i += 4 * kDoubles) {
    s0 = hn::Add(s0, f(load(x + i), load(y + i)));
    s1 = hn::Add(s1, f(load(x + i + kDoubles), load(y + i + kDoubles)));
    s2 = hn::Add(s2, f(load(x + i + 2 * kDoubles), load(y + i + 2 * kDoubles)));
    s3 = hn::Add(s3, f(load(x + i + 3 * kDoubles), load(y + i + 3 * kDoubles)));
  }
  for (; i + kDoubles <= count; i += kDoubles) s0 = hn::Add(s0, f(load(x + i), load(y + i)));
  double total = hn::GetLane(hn::SumOfLanes(dd, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
  for (; i < count; ++i) {
    const DD d1;
    total += hn::GetLane(f(hn::Set(d1, static_cast<double>(x[i])), hn::Set(d1, static_cast<double>(y[i]))));
  }
  return total;
}

double dot_impl(const float* x, const float* y, std::size_t count) {
  return sum_doubles(x, y, count, [](VD a, VD b) HWY_ATTR { return hn::Mul(a, b); });
}

/// out = (x − mean) · factor · gain + shift; shift may be null.
void scale_row(const float* x, const float* gain, const float* shift, std::size_t count, float mean,
               float factor, float* out) {
  const DF df;
  const VF vmean = constant(mean), vfactor = constant(factor);
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const VF unit = hn::Mul(hn::Sub(hn::LoadU(df, x + i), vmean), vfactor);
    const VF scaled = hn::Mul(unit, hn::LoadU(df, gain + i));
    hn::StoreU(shift == nullptr ? scaled : hn::Add(scaled, hn::LoadU(df, shift + i)), df, out + i);
  }
  for (; i < count; ++i) {
    const float scaled = (x[i] - mean) * factor * gain[i];
    out[i] = shift == nullptr ? scaled : scaled + shift[i];
  }
}

void rms_norm_row(const float* x, const float* gain, std::size_t count, double eps, float* out) {
  const double mean_square = dot_impl(x, x, count) / static_cast<double>(count);
  scale_row(x, gain, nullptr, count, 0.0f, static_cast<float>(1 / std::sqrt(mean_square + eps)), out);
}

void layer_norm_row(const float* x, const float* gain, const float* shift, std::size_t count, double eps,
                    float* out) {
  const auto n = static_cast<double>(count);
  const double mean = sum_doubles(x, x, count, [](VD a, VD) HWY_ATTR { return a; }) / n;
  const VD vmean = hn::Set(DD(), mean);
  const double variance = sum_doubles(x, x, count,
                                      [vmean](VD a, VD) HWY_ATTR {
                                        const VD d = hn::Sub(a, vmean);
                                        return hn::Mul(d, d);
                                      }) /
                          n;
  scale_row(x, gain, shift, count, static_cast<float>(mean),
            static_cast<float>(1 / std::sqrt(variance + eps)), out);
}

void softmax_impl(float* x, std::size_t count) {
  const DF df;
  const float lowest = -std::numeric_limits<float>::infinity();
  VF highest = constant(lowest);
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) highest = hn::Max(highest, hn::LoadU(df, x + i));
  // Not MaxOfLanes, which under Highway 1.0's EMU128 begins at the lowest finite number.
  HWY_ALIGN float lanes[kLanes];
  hn::Store(highest, df, lanes);
  float maximum = *std::ranges::max_element(lanes);
  for (; i < count; ++i) maximum = x[i] > maximum ? x[i] : maximum;
  if (maximum == lowest) {
    std::memset(x, 0, count * sizeof(float));
    return;
  }
  const VF shift = constant(maximum);
  // f32 sums over short pieces, f64 over the pieces.
  constexpr std::size_t kPiece = 1024;
  double total = 0;
  for (std::size_t begin = 0; begin < count; begin += kPiece) {
    const std::size_t end = begin + kPiece < count ? begin + kPiece : count;
    VF sum = hn::Zero(df);
    std::size_t j = begin;
    for (; j + kLanes <= end; j += kLanes) {
      const VF e = hn::Exp(df, hn::Sub(hn::LoadU(df, x + j), shift));
      hn::StoreU(e, df, x + j);
      sum = hn::Add(sum, e);
    }
    if (j < end) {
      HWY_ALIGN float tail[kLanes];
      for (std::size_t t = 0; t < kLanes; ++t) tail[t] = j + t < end ? x[j + t] : lowest;
      const VF e = hn::Exp(df, hn::Sub(hn::Load(df, tail), shift));
      hn::Store(e, df, tail);
      std::memcpy(x + j, tail, (end - j) * sizeof(float));
      sum = hn::Add(sum, e);
    }
    total += static_cast<double>(hn::GetLane(hn::SumOfLanes(df, sum)));
  }
  const auto factor = static_cast<float>(1 / total);
  const VF vfactor = constant(factor);
  for (i = 0; i + kLanes <= count; i += kLanes) hn::StoreU(hn::Mul(hn::LoadU(df, x + i), vfactor), df, x + i);
  for (; i < count; ++i) x[i] *= factor;
}

void multiply_impl(float* HWY_RESTRICT x, const float* HWY_RESTRICT y, std::size_t count) {
  const DF df;
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    hn::StoreU(hn::Mul(hn::LoadU(df, x + i), hn::LoadU(df, y + i)), df, x + i);
  for (; i < count; ++i) x[i] *= y[i];
}

void add_impl(float* HWY_RESTRICT x, const float* HWY_RESTRICT y, std::size_t count) {
  const DF df;
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    hn::StoreU(hn::Add(hn::LoadU(df, x + i), hn::LoadU(df, y + i)), df, x + i);
  for (; i < count; ++i) x[i] += y[i];
}

}  // namespace HWY_NAMESPACE
}  // namespace defectoscope
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace defectoscope {

HWY_EXPORT(silu_impl);
HWY_EXPORT(gelu_erf_impl);
HWY_EXPORT(gelu_tanh_impl);
HWY_EXPORT(quick_gelu_impl);
HWY_EXPORT(relu_impl);
HWY_EXPORT(relu2_impl);
HWY_EXPORT(multiply_impl);
HWY_EXPORT(add_impl);
HWY_EXPORT(dot_impl);
HWY_EXPORT(softmax_impl);
HWY_EXPORT(rms_norm_row);
HWY_EXPORT(layer_norm_row);

namespace {

/// Values per tile: 64 KiB.
constexpr Index kPieceValues = Index{1} << 14;

template <typename Kernel>
void in_pieces(std::span<float> x, Kernel kernel) {
  parallel_ranges(static_cast<Index>(x.size()), kPieceValues, [&](Index begin, Index end) {
    kernel(x.data() + begin, static_cast<std::size_t>(end - begin));
  });
}

template <typename Kernel>
void in_pieces(std::span<float> x, std::span<const float> y, Kernel kernel) {
  assert(x.size() == y.size());
  parallel_ranges(static_cast<Index>(x.size()), kPieceValues, [&](Index begin, Index end) {
    kernel(x.data() + begin, y.data() + begin, static_cast<std::size_t>(end - begin));
  });
}

Index rows_per_tile(Index cols) { return std::max<Index>(1, kPieceValues / std::max<Index>(1, cols)); }

}  // namespace

void rms_norm(ConstMatrixView x, std::span<const float> gain, double eps, MatrixView out) {
  assert(static_cast<Index>(gain.size()) == x.cols() && out.rows() == x.rows() && out.cols() == x.cols());
  parallel_ranges(x.rows(), rows_per_tile(x.cols()), [&](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) HWY_DYNAMIC_DISPATCH(rms_norm_row)
    (x.row(r).data(), gain.data(), gain.size(), eps, out.row(r).data());
  });
}

void layer_norm(ConstMatrixView x, std::span<const float> gain, std::span<const float> shift, double eps,
                MatrixView out) {
  assert(static_cast<Index>(gain.size()) == x.cols() && out.rows() == x.rows() && out.cols() == x.cols());
  assert(shift.empty() || shift.size() == gain.size());
  const float* shift_data = shift.empty() ? nullptr : shift.data();
  parallel_ranges(x.rows(), rows_per_tile(x.cols()), [&](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) HWY_DYNAMIC_DISPATCH(layer_norm_row)
    (x.row(r).data(), gain.data(), shift_data, gain.size(), eps, out.row(r).data());
  });
}

void silu(std::span<float> x) { in_pieces(x, HWY_DYNAMIC_DISPATCH(silu_impl)); }
void gelu_erf(std::span<float> x) { in_pieces(x, HWY_DYNAMIC_DISPATCH(gelu_erf_impl)); }
void gelu_tanh(std::span<float> x) { in_pieces(x, HWY_DYNAMIC_DISPATCH(gelu_tanh_impl)); }
void quick_gelu(std::span<float> x) { in_pieces(x, HWY_DYNAMIC_DISPATCH(quick_gelu_impl)); }
void relu(std::span<float> x) { in_pieces(x, HWY_DYNAMIC_DISPATCH(relu_impl)); }
void relu2(std::span<float> x) { in_pieces(x, HWY_DYNAMIC_DISPATCH(relu2_impl)); }
void multiply(std::span<float> x, std::span<const float> y) {
  in_pieces(x, y, HWY_DYNAMIC_DISPATCH(multiply_impl));
}
void add(std::span<float> x, std::span<const float> y) { in_pieces(x, y, HWY_DYNAMIC_DISPATCH(add_impl)); }

void softmax(std::span<float> row) {
  if (row.empty()) return;
  HWY_DYNAMIC_DISPATCH(softmax_impl)(row.data(), row.size());
}

double norm(std::span<const float> x) { return std::sqrt(dot(x, x)); }

double dot(std::span<const float> x, std::span<const float> y) {
  assert(x.size() == y.size());
  return HWY_DYNAMIC_DISPATCH(dot_impl)(x.data(), y.data(), x.size());
}

}  // namespace defectoscope
#endif  // HWY_ONCE
