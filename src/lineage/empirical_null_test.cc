#include "lineage/empirical_null.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "lineage/unrelated_pairs.h"

namespace defectoscope {
namespace {

const std::filesystem::path kUnrelated = DEFECTOSCOPE_SOURCE_DIR "/zoo/unrelated";

const std::vector<UnrelatedPair>& pairs() {
  static const std::vector<UnrelatedPair> all = unrelated_pairs(read_signatures(kUnrelated));
  return all;
}

/// Draws with P(X > x) = (1 + shape x)^(−1/shape).
std::vector<double> pareto(std::size_t count, double shape, std::uint64_t seed) {
  Random random(seed);
  std::vector<double> sample(count);
  for (double& x : sample) {
    const double log_p = std::log(1 - random.uniform());
    x = shape > 0 ? std::expm1(-shape * log_p) / shape : -log_p;
  }
  return sample;
}

TEST(TailFit, FindsTheTailThatASampleWasDrawnFrom) {
  for (const double shape : {0.0, 0.3}) {
    const TailFit fit = fit_tail(pareto(20'000, shape, 5), 0.1);
    EXPECT_NEAR(fit.shape, shape, 0.08);
    // P(X > x) = 1e-4 at this x; the fit saw two of these.
    const double x = shape > 0 ? (std::pow(1e-4, -shape) - 1) / shape : -std::log(1e-4);
    EXPECT_NEAR(fit.log_tail(x), std::log(1e-4), 0.7) << shape;
  }
}

TEST(TailFit, NeverSaysThatATailEnds) {
  std::vector<double> uniform(1000);
  for (std::size_t i = 0; i < uniform.size(); ++i) uniform[i] = static_cast<double>(i) / 1000;
  const TailFit fit = fit_tail(uniform, 0.1);
  EXPECT_EQ(fit.shape, 0);
  EXPECT_TRUE(std::isfinite(fit.log_tail(50)));
  EXPECT_EQ(fit_tail({1, 2, 3}, 0.1).log_tail(100), std::log(0.25));  // three pairs show no more
}

TEST(TailFit, GoodnessTellsAParetoFromTwoClusters) {
  const std::vector<double> good = pareto(1000, 0.1, 6);
  EXPECT_GT(tail_goodness(good, fit_tail(good, 0.1), 99, 1).p, 0.05);
  std::vector<double> bad(900, 0.0);
  for (int i = 0; i < 50; ++i) bad.push_back(1 + 0.001 * i);
  for (int i = 0; i < 50; ++i) bad.push_back(5 + 0.001 * i);
  EXPECT_LT(tail_goodness(bad, fit_tail(bad, 0.1), 99, 1).p, 0.05);
}

TEST(EmpiricalNull, GivesTheShareOfPairsThatScoreAsMuch) {
  const std::vector<double> scores = pareto(2000, 0, 7);
  const EmpiricalNull null = make_empirical_null(EvidenceKind::kLayers, scores, 0);
  double last = 0.1;
  for (const double x : {0.1, 0.5, 1.0, 2.0, 3.0, 6.0}) {
    EXPECT_NEAR(null.log_p(x), -x, 0.15 + 0.05 * x);
    EXPECT_LT(null.log_p(x), last);
    last = null.log_p(x);
  }
  EXPECT_EQ(null.log_p(-1), 0);
}

TEST(EmpiricalNull, TheShippedNumbersAreThoseOfTheShippedSignatures) {
  ASSERT_GE(read_signatures(kUnrelated).size(), 40u);
  const std::vector<EmpiricalNull> made = null_of(pairs(), -1, -1, 0);
  ASSERT_EQ(shipped_null().size(), 2 * made.size());
  for (std::size_t k = 0; k < made.size(); ++k) {
    const EmpiricalNull& shipped = shipped_null()[k];
    EXPECT_EQ(shipped.kind, made[k].kind);
    EXPECT_EQ(shipped_null()[made.size() + k].kind, made[k].kind);
    if (made[k].pairs == 0) {  // embeddings are not shipped: aligned kinds cannot be made anew
      EXPECT_THAT(shipped.kind, testing::AnyOf(EvidenceKind::kAligned, EvidenceKind::kAlignedFfns));
      EXPECT_EQ(shipped.pairs, std::ssize(pairs()));
      continue;
    }
    EXPECT_EQ(shipped.pairs, made[k].pairs);
    EXPECT_NEAR(shipped.tail.threshold, made[k].tail.threshold, 2e-3 * std::abs(made[k].tail.threshold));
    EXPECT_NEAR(shipped.log_p(30), made[k].log_p(30), 0.05 * std::abs(made[k].log_p(30)));
    EXPECT_GT(shipped.goodness.p, 0.01) << evidence_name(shipped.kind);
  }
}

TEST(EmpiricalNull, UnrelatedModelsLeftOutInTurnAreSeldomSuspected) {
  const std::vector<double> log_p = left_out_log_p(pairs());
  EXPECT_GE(log_p.size(), 300u);
  EXPECT_LE(share_below(log_p, 0.01), 0.02);
  EXPECT_EQ(share_below(log_p, 1e-4), 0);
}

}  // namespace
}  // namespace defectoscope
