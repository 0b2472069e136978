#include "linearize/activation.h"

#include <cmath>
#include <numbers>

namespace defectoscope {
namespace {

/// Logistic function and derivatives, without cancellation at either end.
ActivationJet logistic(double w) {
  const double e = std::exp(-std::abs(w)), one = 1 + e;
  ActivationJet s;
  s.d0 = (w < 0 ? e : 1) / one;
  s.d1 = e / (one * one);
  const double slope = (w < 0 ? 1 - e : e - 1) / one;  // 1 − 2·logistic(w)
  s.d2 = s.d1 * slope;
  s.d3 = s.d1 * (1 - 6 * s.d1);
  return s;
}

/// a · logistic(w(a)), from w and its derivatives at a.
ActivationJet gated_by_logistic(double a, double w, double w1, double w2, double w3) {
  const ActivationJet s = logistic(w);
  const double q1 = s.d1 * w1;
  const double q2 = s.d2 * w1 * w1 + s.d1 * w2;
  const double q3 = s.d3 * w1 * w1 * w1 + 3 * s.d2 * w1 * w2 + s.d1 * w3;
  return {a * s.d0, s.d0 + a * q1, 2 * q1 + a * q2, 3 * q2 + a * q3};
}

constexpr double kTanhCubic = 0.044715;
/// ½(1 + tanh(u)) = logistic(2u), u = √(2/π) (a + 0.044715 a³)
const double kTanhScale = 2 * std::sqrt(2 / std::numbers::pi);

}  // namespace

double normal_density(double x) { return std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi); }

double normal_distribution(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }

ActivationJet activation_jet(Activation activation, double a) {
  switch (activation) {
    case Activation::kSilu:
      return gated_by_logistic(a, a, 1, 0, 0);
    case Activation::kQuickGelu:
      return gated_by_logistic(a, 1.702 * a, 1.702, 0, 0);
    case Activation::kGeluTanh: {
      const double k = kTanhScale, c = kTanhCubic;
      return gated_by_logistic(a, k * (a + c * a * a * a), k * (1 + 3 * c * a * a), 6 * k * c * a, 6 * k * c);
    }
    case Activation::kGeluErf: {
      const double phi = normal_density(a), cdf = normal_distribution(a);
      return {a * cdf, cdf + a * phi, (2 - a * a) * phi, a * (a * a - 4) * phi};
    }
    case Activation::kRelu:
      return a > 0 ? ActivationJet{a, 1, 0, 0} : ActivationJet{};
    case Activation::kRelu2:
      return a > 0 ? ActivationJet{a * a, 2 * a, 2, 0} : ActivationJet{};
  }
  return {};
}

double activation_value(Activation activation, double a) {
  switch (activation) {
    case Activation::kSilu:
      return a / (1 + std::exp(-a));
    case Activation::kQuickGelu:
      return a / (1 + std::exp(-1.702 * a));
    case Activation::kGeluTanh:
      return a / (1 + std::exp(-kTanhScale * (a + kTanhCubic * a * a * a)));
    case Activation::kGeluErf:
      return a * normal_distribution(a);
    case Activation::kRelu:
      return a > 0 ? a : 0;
    case Activation::kRelu2:
      return a > 0 ? a * a : 0;
  }
  return 0;
}

}  // namespace defectoscope
