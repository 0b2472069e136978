#include "lineage/null_law.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <numeric>
#include <vector>

#include "base/index.h"
#include "base/random.h"

namespace defectoscope {
namespace {

TEST(BetaLaw, EqualsTheIncompleteBetaFunctionAtSixtyDigits) {
  // ln I_{sin²θ}((D−1)/2, 1/2) by mpmath.
  const struct {
    double degrees, dimension, log_p;
  } cases[] = {
      {89, 64, -0.11625139575719749},  {80, 64, -1.792445493589546},    {45, 64, -23.803740411574406},
      {5, 64, -156.0213246622063},     {0.5, 64, -301.00866069282898},  {50, 4096, -1095.3223172538446},
      {10, 4096, -7173.5840681403465}, {70, 4095, -257.97029650279052}, {85, 7.5, -0.18591982868323235},
      {30, 1.5, -0.58971532590327613}, {60, 42.3, -7.4001939226379887}, {88, 4096, -3.6693257415174985}};
  for (const auto& c : cases)
    EXPECT_NEAR(log_beta_tail(c.degrees, c.dimension), c.log_p, 1e-9 * std::abs(c.log_p))
        << c.degrees << " degrees in " << c.dimension << " dimensions";
  EXPECT_EQ(log_beta_tail(90, 64), 0);
  EXPECT_EQ(log_beta_tail(30, 1), 0);
}

TEST(BetaLaw, IsHowOftenRandomDirectionsComeAsClose) {
  Random random(1);
  const int draws = 20'000;
  int closer = 0;
  for (int i = 0; i < draws; ++i) {
    double first = 0, square = 0;
    for (int k = 0; k < 10; ++k) {
      const double x = random.normal();
      if (k == 0) first = x;
      square += x * x;
    }
    closer += std::acos(std::abs(first) / std::sqrt(square)) <= 60 * std::numbers::pi / 180;
  }
  const double p = std::exp(log_beta_tail(60, 10));
  EXPECT_NEAR(static_cast<double>(closer) / draws, p, 4 * std::sqrt(p / draws));
}

TEST(NormalTails, ReachWhereProbabilitiesUnderflow) {
  EXPECT_NEAR(log_normal_two_tails(1.959963984540054, 0, 1), std::log(0.05), 1e-9);
  // ln P(|N| ≥ 50) by mpmath: −1254.13821…
  EXPECT_NEAR(log_normal_two_tails(50, 0, 1), -1254.138213959, 1e-6);
  EXPECT_EQ(log_normal_two_tails(0, 0, 1), 0);
}

std::vector<float> direction(Index n, std::uint64_t seed, std::vector<double> massive, double offset = 0) {
  Random random(seed);
  std::vector<float> x(static_cast<std::size_t>(n));
  for (float& value : x)
    value = static_cast<float>((random.normal() + offset) / std::sqrt(static_cast<double>(n)));
  for (std::size_t i = 0; i < massive.size(); ++i) x[7 * i + 3] = static_cast<float>(massive[i]);
  return x;
}

double product(const std::vector<float>& u, const std::vector<float>& v) {
  return std::abs(std::inner_product(u.begin(), u.end(), v.begin(), 0.0));
}

/// Share of permutations of v whose product with u reaches t, for each t.
std::vector<double> sampled_tail(const std::vector<float>& u, std::vector<float> v,
                                 const std::vector<double>& thresholds, int draws) {
  Random random(99);
  std::vector<int> reached(thresholds.size(), 0);
  for (int i = 0; i < draws; ++i) {
    for (std::size_t k = v.size() - 1; k > 0; --k) std::swap(v[k], v[random.below(k + 1)]);
    const double t = product(u, v);
    for (std::size_t j = 0; j < thresholds.size(); ++j) reached[j] += t >= thresholds[j];
  }
  std::vector<double> shares;
  for (const int count : reached) shares.push_back(static_cast<double>(count) / draws);
  return shares;
}

/// `v` turned so that its product with u is t: what the law is asked about depends on u, v and |u·v| alone,
/// so thresholds are reached by exchanging coordinates of v greedily.
std::vector<float> with_product_near(const std::vector<float>& u, std::vector<float> v, double t) {
  Random random(5);
  double best = product(u, v);
  for (int i = 0; i < 20'000 && std::abs(best - t) > 1e-3; ++i) {
    const auto a = random.below(v.size()), b = random.below(v.size());
    std::swap(v[a], v[b]);
    const double now = product(u, v);
    if (std::abs(now - t) < std::abs(best - t))
      best = now;
    else
      std::swap(v[a], v[b]);
  }
  return v;
}

void expect_law_matches_sampling(const std::vector<float>& u, const std::vector<float>& v,
                                 const std::vector<double>& thresholds) {
  const int draws = 60'000;
  std::vector<double> reached;
  std::vector<double> laws;
  for (const double t : thresholds) {
    const std::vector<float> near = with_product_near(u, v, t);
    reached.push_back(product(u, near));
    laws.push_back(std::exp(log_permutation_tail(u, near)));
  }
  const std::vector<double> sampled = sampled_tail(u, v, reached, draws);
  for (std::size_t i = 0; i < laws.size(); ++i) {
    ASSERT_GT(sampled[i], 5e-5) << "a threshold that sampling cannot judge: " << reached[i];
    const double noise = 4 * std::sqrt(sampled[i] / draws);
    EXPECT_LT(laws[i], 2 * (sampled[i] + noise)) << reached[i];
    EXPECT_GT(laws[i], 0.5 * (sampled[i] - noise)) << reached[i];
  }
}

TEST(PermutationLaw, IsWithinAFactorOfTwoOfSampledPermutationsOfSpreadDirections) {
  expect_law_matches_sampling(direction(64, 1, {}), direction(64, 2, {}), {0.1, 0.25, 0.35});
  expect_law_matches_sampling(direction(64, 3, {}, 0.4), direction(64, 4, {}, -0.4), {0.1, 0.25, 0.4});
}

TEST(PermutationLaw, IsWithinAFactorOfTwoOfSampledPermutationsOfSparseDirections) {
  const auto one = direction(128, 1, {2}), two = direction(128, 2, {-1.5, 1.2});
  expect_law_matches_sampling(one, direction(128, 3, {2.5}), {0.5, 2, 4.5});
  expect_law_matches_sampling(two, direction(128, 4, {1.6, 0.8}), {0.3, 1, 2});
  expect_law_matches_sampling(two, direction(128, 5, {}), {0.3, 0.6});
}

TEST(PermutationLaw, SparseDirectionsThatCoincideAreNoProofWhereTheBetaLawSaysSo) {
  // One massive dimension each, the same by accident: chance 1/4096, whatever the angle says.
  const auto u = direction(4096, 1, {20}), v = direction(4096, 2, {20});
  EXPECT_NEAR(log_permutation_tail(u, v), std::log(1.0 / 4096), std::log(2));
  EXPECT_LT(log_beta_tail(10, 4096), -5000);
}

TEST(PermutationLaw, IdenticalSpreadDirectionsAreBeyondAnyDoubt) {
  const auto u = direction(4096, 1, {});
  EXPECT_LT(log_permutation_tail(u, u), -1000);
}

}  // namespace
}  // namespace defectoscope
