#include "lineage/tail_fit.h"

#include <algorithm>
#include <cmath>

#include "base/random.h"

namespace defectoscope {
namespace {

constexpr std::size_t kLeastExceedances = 5;
constexpr double kSmallShape = 1e-6;

/// ln P(Y > y) of an excess.
double log_excess_tail(double y, double shape, double scale) {
  if (y <= 0 || scale <= 0) return 0;
  return shape < kSmallShape ? -y / scale : -std::log1p(shape * y / scale) / shape;
}

/// Shape and scale of ascending excesses over 0.
void fit_excesses(const std::vector<double>& ascending, double& shape, double& scale) {
  const auto n = static_cast<double>(ascending.size());
  double mean = 0, weighted = 0;  // E[Y], E[Y (1 − G(Y))]
  for (std::size_t i = 0; i < ascending.size(); ++i) {
    mean += ascending[i] / n;
    weighted += ascending[i] * (n - 1 - static_cast<double>(i)) / (n * (n - 1));
  }
  const double denominator = mean - 2 * weighted;
  shape = denominator > 0 ? 2 - mean / denominator : 0;
  scale = denominator > 0 ? 2 * mean * weighted / denominator : mean;
  if (shape < kSmallShape || !std::isfinite(scale)) {
    shape = 0;
    scale = mean;
  }
}

std::vector<double> excesses(const std::vector<double>& sample, double threshold) {
  std::vector<double> out;
  for (const double x : sample)
    if (x > threshold) out.push_back(x - threshold);
  std::ranges::sort(out);
  return out;
}

double anderson_darling(const std::vector<double>& ascending, double shape, double scale) {
  const std::size_t n = ascending.size();
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) {
    // ln G(y_i) + ln(1 − G(y_{n−1−i}))
    const double below = std::log(std::max(1e-300, -std::expm1(log_excess_tail(ascending[i], shape, scale))));
    const double above = log_excess_tail(ascending[n - 1 - i], shape, scale);
    sum += static_cast<double>(2 * i + 1) * (below + above);
  }
  return -static_cast<double>(n) - sum / static_cast<double>(n);
}

}  // namespace

double TailFit::log_tail(double x) const {
  return std::log(share) + log_excess_tail(x - threshold, shape, scale);
}

TailFit fit_tail(std::vector<double> sample, double share) {
  TailFit fit;
  if (sample.empty()) return {.threshold = 0, .share = 1, .shape = 0, .scale = 0};
  std::ranges::sort(sample);
  const auto n = sample.size();
  const auto above = std::min(n - 1, static_cast<std::size_t>(share * static_cast<double>(n)));
  fit.threshold = sample[n - 1 - above];
  const std::vector<double> over = excesses(sample, fit.threshold);
  // One more than were seen, of one more: the next unrelated pair may be the largest.
  fit.share = static_cast<double>(over.size() + 1) / static_cast<double>(n + 1);
  if (over.size() >= kLeastExceedances) fit_excesses(over, fit.shape, fit.scale);
  return fit;
}

TailGoodness tail_goodness(const std::vector<double>& sample, const TailFit& fit, Index draws,
                           std::uint64_t seed) {
  const std::vector<double> over = excesses(sample, fit.threshold);
  TailGoodness goodness;
  goodness.exceedances = std::ssize(over);
  if (over.size() < kLeastExceedances) return goodness;
  goodness.anderson_darling = anderson_darling(over, fit.shape, fit.scale);
  Index as_much = 0;
  for (Index k = 0; k < draws; ++k) {
    Random random(seed, static_cast<std::uint64_t>(k));
    std::vector<double> drawn(over.size());
    for (double& y : drawn) {
      const double log_p = std::log(1 - random.uniform());
      y = fit.shape < kSmallShape ? -fit.scale * log_p
                                  : fit.scale * std::expm1(-fit.shape * log_p) / fit.shape;
    }
    std::ranges::sort(drawn);
    double shape = 0, scale = 0;
    fit_excesses(drawn, shape, scale);
    if (anderson_darling(drawn, shape, scale) >= goodness.anderson_darling) ++as_much;
  }
  goodness.p = static_cast<double>(as_much + 1) / static_cast<double>(draws + 1);
  return goodness;
}

}  // namespace defectoscope
