#include <algorithm>
#include <array>
#include <cmath>

#include "linearize/activation.h"
#include "linearize/ffn_fit.h"

namespace defectoscope {
namespace {

/// Below this a variance cannot be told from none (its square underflows).
constexpr double kNoVariance = 1e-150;

/// I_k = ∫_0^∞ y^k exp(t y − y²/2) dy, k = 0 .. 4, so that E[z^k; z > 0] = φ(t) I_k for z ~ N(t, 1).
std::array<double, 5> half_line_moments(double t) {
  std::array<double, 5> moments{};
  if (t > -1) {
    const double phi = normal_density(t);
    moments[0] = normal_distribution(t) / phi;
    moments[1] = t * moments[0] + 1;
    for (std::size_t k = 2; k < 5; ++k)
      moments[k] = t * moments[k - 1] + static_cast<double>(k - 1) * moments[k - 2];
    return moments;
  }
  // In the lower tail that recurrence cancels; its minimal solution comes from running it backwards.
  constexpr int kStart = 300;
  double ratio = 0.5 * (t + std::sqrt(t * t + 4.0 * kStart));
  std::array<double, 5> ratios{};
  for (int k = kStart; k > 0; --k) {
    ratio = k / (ratio - t);
    if (k < 5) ratios[static_cast<std::size_t>(k)] = ratio;  // I_k / I_{k−1}
  }
  moments[0] = 1 / (ratios[1] - t);
  for (std::size_t k = 1; k < 5; ++k) moments[k] = ratios[k] * moments[k - 1];
  return moments;
}

/// E[a^k; a > 0] for a ~ N(mean, s²), k = 0 .. 4.
std::array<double, 5> positive_part_moments(double mean, double s) {
  const double t = mean / s;
  std::array<double, 5> moments{};
  if (t > 30) {  // φ(t) I_k would overflow and underflow; here nothing is cut off
    moments = {1, mean, 0, 0, 0};
    for (std::size_t k = 2; k < 5; ++k)
      moments[k] = mean * moments[k - 1] + static_cast<double>(k - 1) * s * s * moments[k - 2];
    return moments;
  }
  const std::array<double, 5> unit = half_line_moments(t);
  double scale = normal_density(t);
  for (std::size_t k = 0; k < 5; ++k, scale *= s) moments[k] = scale * unit[k];
  return moments;
}

ActivationMoments relu_moments(double mean, double s) {
  const std::array<double, 5> m = positive_part_moments(mean, s);
  const double t = mean / s, phi = normal_density(t), v = s * s;
  // E[(a−μ) g] = v E[g'] (Stein), once for σ² and twice.
  return {m[1], m[0], phi / s, -t * phi / v, m[2], v * 2 * m[1], v * m[2] + v * v * 2 * m[0]};
}

ActivationMoments relu2_moments(double mean, double s) {
  const std::array<double, 5> m = positive_part_moments(mean, s);
  const double phi = normal_density(mean / s), v = s * s;
  return {m[2], 2 * m[1], 2 * m[0], 2 * phi / s, m[4], v * 4 * m[3], v * m[4] + v * v * 12 * m[2]};
}

/// Trapezoid rule in z, a = mean + s z: the integrands are analytic in a strip, so the error falls with
/// exp(−const/step) (Trefethen, Weideman 2014). Where the mean lies in one tail, the product of density and
/// tail peaks off z = 0, and the range follows it.
ActivationMoments integrated_moments(Activation activation, double mean, double s) {
  const double slope = activation == Activation::kGeluTanh  ? 1.6 * (1 + 0.14 * mean * mean)
                       : activation == Activation::kGeluErf ? 2 * std::abs(mean)
                                                            : 1.8;
  const double shift = s > 0 ? std::min(slope * s, std::abs(mean) / s) : 0;
  const double low = -9 - (mean > 0 ? shift : 0), high = 9 + (mean < 0 ? shift : 0);
  // Quick-GELU's logistic is steeper, its poles nearer.
  const double step = 0.4 / std::max(1.0, activation == Activation::kQuickGelu ? 1.702 * s : s);
  ActivationMoments sum;
  for (auto k = static_cast<long>(std::floor(low / step)); static_cast<double>(k) * step <= high; ++k) {
    const double z = static_cast<double>(k) * step;
    const double weight = step * normal_density(z);
    const ActivationJet f = activation_jet(activation, mean + s * z);
    const double square = weight * f.d0 * f.d0;
    sum.e0 += weight * f.d0;
    sum.e1 += weight * f.d1;
    sum.e2 += weight * f.d2;
    sum.e3 += weight * f.d3;
    sum.square0 += square;
    sum.square1 += square * s * z;
    sum.square2 += square * s * z * s * z;
  }
  return sum;
}

/// E, E', E'', E''' in closed form, squares by quadrature.
ActivationMoments gelu_moments(double mean, double s) {
  ActivationMoments moments = integrated_moments(Activation::kGeluErf, mean, s);
  const double r2 = 1 + s * s, r = std::sqrt(r2), t = mean / r, phi = normal_density(t);
  if (t < -1) {
    // Φ(t) = φ(t) I_0 and tΦ + φ = φ(t) I_1 without the cancellation.
    const std::array<double, 5> unit = half_line_moments(t);
    moments.e0 = phi * (r * unit[1] - 1 / r);
    moments.e1 = phi * (unit[0] + t / r2);
  } else {
    const double cdf = normal_distribution(t);
    moments.e0 = mean * cdf + s * s * phi / r;
    moments.e1 = cdf + t * phi / r2;
  }
  moments.e2 = phi * (1 / r + (1 - t * t) / (r2 * r));
  moments.e3 = -t * phi / r2 * (1 + (3 - t * t) / r2);
  return moments;
}

ActivationMoments without_variance(Activation activation, double mean) {
  const ActivationJet f = activation_jet(activation, mean);
  ActivationMoments moments{f.d0, f.d1, f.d2, f.d3, f.d0 * f.d0, 0, 0};
  if (activation == Activation::kRelu && mean == 0) moments.e1 = 0.5;
  if (activation == Activation::kRelu2 && mean == 0) moments.e2 = 1;
  return moments;
}

}  // namespace

ActivationMoments activation_moments(Activation activation, double mean, double variance) {
  if (variance < kNoVariance) return without_variance(activation, mean);
  const double s = std::sqrt(variance);
  switch (activation) {
    case Activation::kRelu:
      return relu_moments(mean, s);
    case Activation::kRelu2:
      return relu2_moments(mean, s);
    case Activation::kGeluErf:
      return gelu_moments(mean, s);
    default:
      return integrated_moments(activation, mean, s);
  }
}

}  // namespace defectoscope
