#include "kernels/block_apply.h"
#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/row_moments.cc"
#include <hwy/foreach_target.h>
// Highway's order: foreach_target.h first.
#include <hwy/highway.h>

#include "base/parallel.h"
#include "kernels/widen-inl.h"

HWY_BEFORE_NAMESPACE();
namespace defectoscope {
namespace HWY_NAMESPACE {

using DD = hn::ScalableTag<double>;
using VD = hn::Vec<DD>;

struct Sums {
  double v = 0, c = 0, v3 = 0, dot1 = 0, dot3 = 0;
};

template <typename T>
HWY_INLINE VD load_double(const T* p) {
  const DD dd;
  const hn::Rebind<float, DD> df;
  return hn::PromoteTo(dd, load_widened(df, p));
}

/// The five sums of one row; `up` may be null. metric and vector are padded with zeros to whole vectors.
template <typename T1, typename T3>
Sums moments_of_row(const T1* gate, const T3* up, Index cols, const double* HWY_RESTRICT metric,
                    const double* HWY_RESTRICT vector) {
  const DD dd;
  constexpr Index kLanes = static_cast<Index>(hn::MaxLanes(DD()));
  VD v = hn::Zero(dd), c = hn::Zero(dd), v3 = hn::Zero(dd), dot1 = hn::Zero(dd), dot3 = hn::Zero(dd);
  const auto add = [&](Index i, const T1* g, const T3* u) HWY_ATTR {
    const VD s = hn::LoadU(dd, metric + i);
    const VD x = hn::LoadU(dd, vector + i);
    const VD w1 = load_double(g);
    const VD s1 = hn::Mul(s, w1);
    v = hn::MulAdd(s1, w1, v);
    dot1 = hn::MulAdd(x, w1, dot1);
    if (u == nullptr) return;
    const VD w3 = load_double(u);
    c = hn::MulAdd(s1, w3, c);
    v3 = hn::MulAdd(hn::Mul(s, w3), w3, v3);
    dot3 = hn::MulAdd(x, w3, dot3);
  };
  Index i = 0;
  for (; i + kLanes <= cols; i += kLanes) add(i, gate + i, up == nullptr ? nullptr : up + i);
  if (i < cols) {
    T1 gate_tail[static_cast<std::size_t>(kLanes)] = {};
    T3 up_tail[static_cast<std::size_t>(kLanes)] = {};
    std::memcpy(static_cast<void*>(gate_tail), static_cast<const void*>(gate + i),
                static_cast<std::size_t>(cols - i) * sizeof(T1));
    if (up != nullptr)
      std::memcpy(static_cast<void*>(up_tail), static_cast<const void*>(up + i),
                  static_cast<std::size_t>(cols - i) * sizeof(T3));
    add(i, gate_tail, up == nullptr ? nullptr : up_tail);
  }
  const auto total = [&](VD sum) HWY_ATTR { return hn::GetLane(hn::SumOfLanes(dd, sum)); };
  return {total(v), total(c), total(v3), total(dot1), total(dot3)};
}

/// fn(typed pointer to row `row`).
template <typename Fn>
void with_row(const WeightMatrix& weight, Index row, Fn fn) {
  const std::byte* data = weight.row_data(row);
  if (weight.dtype == DType::kF32)
    fn(reinterpret_cast<const float*>(data));
  else if (weight.dtype == DType::kF16)
    fn(reinterpret_cast<const hwy::float16_t*>(data));
  else
    fn(reinterpret_cast<const hwy::bfloat16_t*>(data));
}

void row_moments_impl(const WeightMatrix& w1, const WeightMatrix* w3, const double* metric,
                      const double* vector, RowMoments& out) {
  parallel_ranges(w1.rows, 32, [&](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      Sums sums;
      with_row(w1, r, [&](const auto* gate) {
        if (w3 == nullptr)
          sums = moments_of_row(gate, static_cast<const float*>(nullptr), w1.cols, metric, vector);
        else
          with_row(*w3, r, [&](const auto* up) { sums = moments_of_row(gate, up, w1.cols, metric, vector); });
      });
      const auto i = static_cast<std::size_t>(r);
      out.v[i] = sums.v;
      out.dot1[i] = sums.dot1;
      if (w3 == nullptr) continue;
      out.c[i] = sums.c;
      out.v3[i] = sums.v3;
      out.dot3[i] = sums.dot3;
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace defectoscope
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace defectoscope {

HWY_EXPORT(row_moments_impl);

RowMoments row_moments(const WeightMatrix& w1, const WeightMatrix* w3, std::span<const double> metric,
                       std::span<const double> vector) {
  const auto cols = static_cast<std::size_t>(w1.cols);
  assert(metric.empty() || metric.size() == cols);
  assert(vector.empty() || vector.size() == cols);
  assert(w3 == nullptr || (w3->rows == w1.rows && w3->cols == w1.cols));
  // A vector of the widest instruction set; this part of the file is compiled for the narrowest.
  constexpr std::size_t kPadding = 64;
  std::vector<double> padded_metric(cols + kPadding, 0.0), padded_vector(cols + kPadding, 0.0);
  if (metric.empty())
    std::fill_n(padded_metric.begin(), cols, 1.0);
  else
    std::copy(metric.begin(), metric.end(), padded_metric.begin());
  std::copy(vector.begin(), vector.end(), padded_vector.begin());

  const auto rows = static_cast<std::size_t>(w1.rows);
  RowMoments out;
  out.v.resize(rows);
  out.dot1.resize(rows);
  if (w3 != nullptr) {
    out.c.resize(rows);
    out.v3.resize(rows);
    out.dot3.resize(rows);
  }
  HWY_DYNAMIC_DISPATCH(row_moments_impl)(w1, w3, padded_metric.data(), padded_vector.data(), out);
  return out;
}

}  // namespace defectoscope
#endif  // HWY_ONCE
