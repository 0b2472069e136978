// Fits the weights of step_confidence on synthetic life cycles of tuning seeds, by Newton's method with a
// small ridge, and prints them. Run it after a change to find_steps, and copy what it prints to
// life_cycle.cc.

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "analysis/life_cycle.h"
#include "analysis/synthetic_life.h"

namespace defectoscope {
namespace {

constexpr std::uint64_t kLives = 6000;  // seeds 0 .. kLives - 1; tests use others
constexpr double kRidge = 1.0;

struct Sample {
  std::vector<double> features;
  double right = 0;
};

void add(const Steps& steps, const std::vector<Index>& truth, std::vector<Sample>& samples) {
  for (const StepEvidence& step : steps.abrupt)
    samples.push_back({confidence_features(step),
                       std::find(truth.begin(), truth.end(), step.layer) != truth.end() ? 1.0 : 0.0});
}

/// Solves A x = b, A symmetric positive definite, by elimination.
std::vector<double> solve(std::vector<std::vector<double>> a, std::vector<double> b) {
  const std::size_t n = b.size();
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t r = i + 1; r < n; ++r) {
      const double factor = a[r][i] / a[i][i];
      for (std::size_t c = i; c < n; ++c) a[r][c] -= factor * a[i][c];
      b[r] -= factor * b[i];
    }
  for (std::size_t i = n; i-- > 0;) {
    for (std::size_t c = i + 1; c < n; ++c) b[i] -= a[i][c] * b[c];
    b[i] /= a[i][i];
  }
  return b;
}

void fit() {
  std::vector<Sample> samples;
  for (std::uint64_t seed = 0; seed < kLives; ++seed) {
    const SyntheticLife life = synthetic_life(seed);
    const GainsAndLosses steps = find_steps(life.table, find_high_norms(life.table));
    add(steps.gains, life.explosion, samples);
    add(steps.losses, life.decay, samples);
  }
  constexpr std::size_t n = kConfidenceFeatures;
  std::vector<double> weights(n, 0.0);
  for (int step = 0; step < 50; ++step) {
    std::vector<std::vector<double>> hessian(n, std::vector<double>(n, 0.0));
    std::vector<double> gradient(n, 0.0);
    for (std::size_t i = 0; i < n; ++i) {
      hessian[i][i] = kRidge;
      gradient[i] = -kRidge * weights[i];
    }
    for (const Sample& sample : samples) {
      double margin = 0;
      for (std::size_t i = 0; i < n; ++i) margin += weights[i] * sample.features[i];
      const double p = 1 / (1 + std::exp(-margin));
      for (std::size_t i = 0; i < n; ++i) {
        gradient[i] += (sample.right - p) * sample.features[i];
        for (std::size_t j = 0; j < n; ++j)
          hessian[i][j] += p * (1 - p) * sample.features[i] * sample.features[j];
      }
    }
    const std::vector<double> change = solve(hessian, gradient);
    for (std::size_t i = 0; i < n; ++i) weights[i] += change[i];
  }
  double right = 0;
  for (const Sample& sample : samples) right += sample.right;
  std::printf("%zu steps, %.0f right\nweights:", samples.size(), right);
  for (const double weight : weights) std::printf(" %.2f,", weight);
  std::printf("\n");
}

}  // namespace
}  // namespace defectoscope

int main() { defectoscope::fit(); }
