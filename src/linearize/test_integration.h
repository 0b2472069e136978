#pragma once

#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "model/architecture.h"

namespace defectoscope {

/// Integral of a vector-valued function by the double-exponential rule in extended precision, refined until
/// it stands still: shares nothing with the library's closed forms and trapezoid rule.
template <std::size_t N, typename F>
std::array<long double, N> integrate_panel(F f, long double low, long double high) {
  std::array<long double, N> sum{}, last{};
  const long double centre = (low + high) / 2, half = (high - low) / 2;
  const long double quarter_turn = std::numbers::pi_v<long double> / 2;
  const auto add = [&](long double t) {
    const long double inner = quarter_turn * std::sinh(t), cosh = std::cosh(inner);
    const long double weight = quarter_turn * std::cosh(t) / (cosh * cosh);
    const std::array<long double, N> value = f(centre + half * std::tanh(inner));
    for (std::size_t i = 0; i < N; ++i) sum[i] += weight * value[i];
  };
  long double step = 0.5L;
  for (long k = -8; k <= 8; ++k) add(static_cast<long double>(k) * step);
  for (int level = 0; level < 9; ++level) {
    last = sum;
    // Odd multiples of the halved step.
    step /= 2;
    const long count = std::lround(4 / step);
    for (long k = -count + 1; k < count; k += 2) add(static_cast<long double>(k) * step);
    long double change = 0, size = 0;
    for (std::size_t i = 0; i < N; ++i) {
      change = std::max(change, std::abs(sum[i] - 2 * last[i]) * step * half);
      size = std::max(size, std::abs(sum[i]) * step * half);
    }
    if (level > 1 && change <= 1e-17L * size + 1e-40L) break;
  }
  for (long double& value : sum) value *= step * half;
  return sum;
}

/// ∫ f(z) φ(z) dz over |z| ≤ 16, in panels that part where a = mean + s z changes sign.
template <std::size_t N, typename F>
std::array<long double, N> gaussian_integral(F f, long double mean, long double s) {
  std::vector<long double> cuts;
  for (int i = -32; i <= 32; ++i) cuts.push_back(static_cast<long double>(i) / 2);
  const long double kink = s > 0 ? -mean / s : 100;
  if (kink > -16 && kink < 16) cuts.push_back(kink);
  std::sort(cuts.begin(), cuts.end());
  std::array<long double, N> total{};
  for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
    if (cuts[i + 1] - cuts[i] < 1e-18L) continue;
    const auto part = integrate_panel<N>(
        [&](long double z) {
          auto values = f(z);
          const long double density = std::exp(-z * z / 2) / std::sqrt(2 * std::numbers::pi_v<long double>);
          for (long double& value : values) value *= density;
          return values;
        },
        cuts[i], cuts[i + 1]);
    for (std::size_t k = 0; k < N; ++k) total[k] += part[k];
  }
  return total;
}

/// The activations by their textbook formulas, in extended precision.
inline long double exact_activation(Activation activation, long double a) {
  switch (activation) {
    case Activation::kSilu:
      return a / (1 + std::exp(-a));
    case Activation::kQuickGelu:
      return a / (1 + std::exp(-1.702L * a));
    case Activation::kGeluErf:
      return a * std::erfc(-a / std::numbers::sqrt2_v<long double>) / 2;
    case Activation::kGeluTanh: {
      const long double u = std::sqrt(2 / std::numbers::pi_v<long double>) * (a + 0.044715L * a * a * a);
      return a / (1 + std::exp(-2 * u));
    }
    case Activation::kRelu:
      return a > 0 ? a : 0;
    case Activation::kRelu2:
      return a > 0 ? a * a : 0;
  }
  return 0;
}

}  // namespace defectoscope
