#include "lineage/null_law.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <vector>

#include "base/index.h"

namespace defectoscope {
namespace {

/// std::lgamma writes the sign it found to a variable of the whole program, which threads then share.
double log_gamma(double x) {
  int sign = 0;
  return lgamma_r(x, &sign);
}

constexpr double kNever = -std::numeric_limits<double>::infinity();
constexpr std::size_t kMatched = 5;
constexpr double kSticksOut = 16;

/// Continued fraction of I_x(a, b) · a B(a, b) / (x^a (1−x)^b); converges fast for x < (a + 1) / (a + b + 2).
double beta_fraction(double x, double a, double b) {
  constexpr double kTiny = 1e-300;
  double c = 1;
  double d = 1 - (a + b) * x / (a + 1);
  d = 1 / (std::abs(d) < kTiny ? kTiny : d);
  double value = d;
  for (int m = 1; m <= 10'000; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    double change = 1;
    for (const double term : {even, odd}) {
      d = 1 + term * d;
      d = 1 / (std::abs(d) < kTiny ? kTiny : d);
      c = 1 + term / c;
      c = std::abs(c) < kTiny ? kTiny : c;
      change = c * d;
      value *= change;
    }
    if (std::abs(change - 1) < 1e-15) break;
  }
  return value;
}

double log_sum(double a, double b) {
  if (a < b) std::swap(a, b);
  return b == kNever ? a : a + std::log1p(std::exp(b - a));
}

/// ln P(N(0,1) ≥ x).
double log_upper_tail(double x) {
  if (x < 25) return std::log(0.5 * std::erfc(x / std::numbers::sqrt2));
  const double y = 1 / (x * x);  // asymptotic series, error under 1e-9 here
  return -0.5 * x * x - std::log(x) - 0.5 * std::log(2 * std::numbers::pi) +
         std::log1p(-y * (1 - 3 * y * (1 - 5 * y)));
}

/// A direction as its few outstanding entries and the moments of the rest.
struct Split {
  std::vector<double> large;
  double mean = 0, variance = 0;

  explicit Split(std::span<const float> x) {
    const auto n = static_cast<double>(x.size());
    std::vector<double> sorted(x.begin(), x.end());
    const auto count = std::min(kMatched, sorted.size());
    std::partial_sort(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(count), sorted.end(),
                      [](double a, double b) { return std::abs(a) > std::abs(b); });
    double square = std::transform_reduce(sorted.begin(), sorted.end(), 0.0, std::plus<>(),
                                          [](double a) { return a * a; });
    for (std::size_t i = 0; i < count; ++i) {
      const double own = sorted[i] * sorted[i];
      const double rest = n - static_cast<double>(i) - 1;
      if (rest < 1 || own * rest <= kSticksOut * (square - own)) break;
      square -= own;
      large.push_back(sorted[i]);
    }
    const auto begin = sorted.begin() + std::ssize(large);
    const auto rest = static_cast<double>(sorted.end() - begin);
    mean = std::accumulate(begin, sorted.end(), 0.0) / rest;
    variance = std::transform_reduce(begin, sorted.end(), 0.0, std::plus<>(),
                                     [&](double a) { return (a - mean) * (a - mean); }) /
               rest;
  }
};

/// Goes through all ways to lay large entries of u onto large entries of v.
class Matchings {
 public:
  Matchings(const Split& u, const Split& v, double n, double threshold)
      : u_(u), v_(v), n_(n), threshold_(threshold), taken_(v.large.size(), false) {}

  double log_tail() {
    place(0, 0, 0, 0, 0);
    return std::min(0.0, total_);
  }

 private:
  /// Entries of u before `i` are placed: `matched` of them on large entries of v, giving `sum`; the others,
  /// of sum `loose` and squared sum `loose_square`, on the rest of v.
  void place(std::size_t i, std::size_t matched, double sum, double loose, double loose_square) {
    if (i == u_.large.size()) return add(matched, sum, loose, loose_square);
    const double value = u_.large[i];
    place(i + 1, matched, sum, loose + value, loose_square + value * value);
    for (std::size_t k = 0; k < taken_.size(); ++k) {
      if (taken_[k]) continue;
      taken_[k] = true;
      place(i + 1, matched + 1, sum + value * v_.large[k], loose, loose_square);
      taken_[k] = false;
    }
  }

  void add(std::size_t matched, double sum, double loose, double loose_square) {
    const auto a = static_cast<double>(u_.large.size()), b = static_cast<double>(v_.large.size());
    const auto j = static_cast<double>(matched);
    if (n_ - b < a - j) return;  // no room
    // These j pairs, and the other a − j entries among the n − b places that are no large entry of v.
    const double log_chance =
        log_gamma(n_ - b + 1) - log_gamma(n_ - b - (a - j) + 1) - log_gamma(n_ + 1) + log_gamma(n_ - a + 1);
    double other = 0, other_square = 0;
    for (std::size_t k = 0; k < taken_.size(); ++k) {
      if (taken_[k]) continue;
      other += v_.large[k];
      other_square += v_.large[k] * v_.large[k];
    }
    const double both = n_ - a - b + j;  // places where neither is large
    const double mean = sum + v_.mean * loose + u_.mean * other + both * u_.mean * v_.mean;
    const double independent = v_.variance * loose_square + u_.variance * other_square +
                               std::max(0.0, both) * u_.variance * v_.variance;
    const double variance = independent * n_ / (n_ - 1);  // drawn without replacement
    total_ = log_sum(total_, log_chance + log_normal_two_tails(threshold_, mean, variance));
  }

  const Split& u_;
  const Split& v_;
  double n_, threshold_;
  std::vector<bool> taken_;
  double total_ = kNever;
};

}  // namespace

double log_beta_tail(double angle_degrees, double dimension) {
  if (!(dimension > 1) || angle_degrees >= 90) return 0;
  const double theta = angle_degrees * std::numbers::pi / 180;
  const double sine = std::sin(theta), cosine = std::cos(theta);
  if (sine <= 0) return kNever;
  const double a = (dimension - 1) / 2, b = 0.5;
  const double log_front =
      2 * a * std::log(sine) + 2 * b * std::log(cosine) + log_gamma(a + b) - log_gamma(a) - log_gamma(b);
  if (sine * sine < (a + 1) / (a + b + 2))
    return std::min(0.0, log_front + std::log(beta_fraction(sine * sine, a, b) / a));
  return std::min(0.0, std::log1p(-std::exp(log_front) * beta_fraction(cosine * cosine, b, a) / b));
}

double log_permutation_tail(std::span<const float> u, std::span<const float> v) {
  if (u.size() < 2) return 0;
  const double product =
      std::transform_reduce(u.begin(), u.end(), v.begin(), 0.0, std::plus<>(),
                            [](float a, float b) { return static_cast<double>(a) * static_cast<double>(b); });
  const Split of_u(u), of_v(v);
  return Matchings(of_u, of_v, static_cast<double>(u.size()), std::abs(product)).log_tail();
}

double log_normal_two_tails(double t, double mean, double variance) {
  if (!(variance > 0)) return std::abs(mean) >= t * (1 - 1e-12) ? 0 : kNever;
  const double deviation = std::sqrt(variance);
  return std::min(0.0,
                  log_sum(log_upper_tail((t - mean) / deviation), log_upper_tail((t + mean) / deviation)));
}

}  // namespace defectoscope
