#include "analysis/life_cycle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "analysis/synthetic_life.h"
#include "analysis/synthetic_norms.h"

namespace defectoscope {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<Index> numbers(const std::vector<FoundLayer>& layers) {
  std::vector<Index> result;
  for (const FoundLayer& layer : layers) result.push_back(layer.layer);
  return result;
}

LifeCycle cycle_of(const NormTable& table) { return find_life_cycle(table, find_high_norms(table)); }

TEST(LifeCycle, FindsOneExplosionAndOneDecayAtAnyHeight) {
  for (const double height : {3.0, 5.0, 20.0, 500.0}) {
    SyntheticNorms norms;
    norms.ratio = [=](Index layer) { return layer >= 3 && layer < 11 ? height : 1; };
    const LifeCycle cycle = cycle_of(norms.make());
    EXPECT_THAT(numbers(cycle.explosion), ElementsAre(3)) << height;
    EXPECT_THAT(numbers(cycle.decay), ElementsAre(11)) << height;
    EXPECT_FALSE(cycle.gradual_growth);
    EXPECT_TRUE(cycle.explosion[0].initial);
    EXPECT_FALSE(cycle.explosion[0].non_initial);
  }
}

TEST(LifeCycle, FindsTwoExplosionsOfEqualHeight) {
  for (const double height : {5.0, 40.0, 500.0}) {
    SyntheticNorms norms;
    norms.ratio = [=](Index layer) { return layer < 3 || layer >= 11 ? 1 : layer < 7 ? height / 2 : height; };
    const LifeCycle cycle = cycle_of(norms.make());
    EXPECT_THAT(numbers(cycle.explosion), ElementsAre(3, 7)) << height;
    EXPECT_THAT(numbers(cycle.decay), ElementsAre(11)) << height;
  }
}

TEST(LifeCycle, FindsNeighbouringExplosions) {
  SyntheticNorms norms;  // GPT-2's way: 67, 500, 2900
  norms.ratio = [](Index layer) { return layer < 2 || layer >= 11 ? 1.2 : layer == 2 ? 8.0 : 45.0; };
  EXPECT_THAT(numbers(cycle_of(norms.make()).explosion), ElementsAre(2, 3));
}

TEST(LifeCycle, FindsADecayInTwoSteps) {
  SyntheticNorms norms;
  norms.ratio = [](Index layer) { return layer < 3 || layer >= 11 ? 1 : layer < 8 ? 100 : 40; };
  const LifeCycle cycle = cycle_of(norms.make());
  EXPECT_THAT(numbers(cycle.explosion), ElementsAre(3));
  EXPECT_THAT(numbers(cycle.decay), ElementsAre(8, 11));
}

TEST(LifeCycle, CallsGrowthOverManyLayersGradual) {
  SyntheticNorms norms;
  norms.ratio = [](Index layer) { return layer < 11 ? std::pow(1.7, std::min<Index>(layer, 8)) : 1; };
  const LifeCycle geometric = cycle_of(norms.make());
  EXPECT_THAT(geometric.explosion, IsEmpty());
  EXPECT_TRUE(geometric.gradual_growth);
  EXPECT_THAT(numbers(geometric.decay), ElementsAre(11));
  norms.ratio = [](Index layer) {
    return layer < 11 ? 1 + 8.0 * static_cast<double>(std::min<Index>(layer, 7)) : 1;
  };
  const LifeCycle even = cycle_of(norms.make());
  EXPECT_THAT(even.explosion, IsEmpty());
  EXPECT_TRUE(even.gradual_growth);
}

TEST(LifeCycle, TellsLaterTokensFromFirstOnes) {
  SyntheticNorms norms;
  norms.initial = false;
  norms.trigger_every = 23;
  norms.ratio = [](Index layer) { return layer >= 4 && layer < 10 ? 60 : 1; };
  const LifeCycle cycle = cycle_of(norms.make());
  ASSERT_THAT(numbers(cycle.explosion), ElementsAre(4));
  EXPECT_THAT(numbers(cycle.decay), ElementsAre(10));
  EXPECT_FALSE(cycle.explosion[0].initial);
  EXPECT_TRUE(cycle.explosion[0].non_initial);
}

TEST(LifeCycle, LeapsThatAllTokensShareCountForNothing) {
  SyntheticNorms norms;
  norms.common = [](Index layer) { return layer >= 6 ? 30.0 : 1.0; };
  EXPECT_THAT(cycle_of(norms.make()).explosion, IsEmpty());
  norms.ratio = [](Index layer) { return layer >= 3 && layer < 11 ? 50 : 1; };
  const LifeCycle cycle = cycle_of(norms.make());
  EXPECT_THAT(numbers(cycle.explosion), ElementsAre(3));
  EXPECT_THAT(numbers(cycle.decay), ElementsAre(11));
}

TEST(LifeCycle, OrdinaryTokensThatOutgrowSpecialOnesAreNoDecay) {
  SyntheticNorms norms;
  norms.common = [](Index layer) { return layer >= 10 ? 10.0 : 1.0; };
  norms.ratio = [](Index layer) { return layer < 3 ? 1.0 : layer < 10 ? 50.0 : 5.0; };
  const LifeCycle cycle = cycle_of(norms.make());
  EXPECT_THAT(numbers(cycle.explosion), ElementsAre(3));
  EXPECT_THAT(cycle.decay, IsEmpty());
}

TEST(LifeCycle, ConfidenceOfNineTenthsIsRightNineTimesInTen) {
  struct Tally {
    double confidence = 0;
    int given = 0, right = 0;
  };
  Tally sure, unsure;
  int planted = 0, found = 0;
  const auto tally = [&](const std::vector<FoundLayer>& layers, const std::vector<Index>& truth) {
    for (const FoundLayer& layer : layers) {
      Tally& of = layer.confidence >= 0.9 ? sure : unsure;
      const bool right = std::find(truth.begin(), truth.end(), layer.layer) != truth.end();
      of.confidence += layer.confidence;
      ++of.given;
      of.right += right;
      found += right;
    }
    planted += static_cast<int>(truth.size());
  };
  for (std::uint64_t seed = 1'000'000; seed < 1'000'600; ++seed) {  // none of those it was fitted on
    const SyntheticLife life = synthetic_life(seed);
    const LifeCycle cycle = cycle_of(life.table);
    tally(cycle.explosion, life.explosion);
    tally(cycle.decay, life.decay);
  }
  ASSERT_GT(sure.given, 300);
  ASSERT_GT(unsure.given, 30);
  EXPECT_GE(sure.right, 0.9 * sure.given);
  EXPECT_NEAR(static_cast<double>(sure.right) / sure.given, sure.confidence / sure.given, 0.04);
  // What is given less deserves less.
  EXPECT_LT(static_cast<double>(unsure.right) / unsure.given, 0.9);
  EXPECT_GE(found, 0.85 * planted);
}

}  // namespace
}  // namespace defectoscope
