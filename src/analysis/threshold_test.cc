#include "analysis/threshold.h"

#include <gtest/gtest.h>

#include <cmath>

#include "analysis/synthetic_norms.h"
#include "base/random.h"

namespace defectoscope {
namespace {

double plateau(Index layer, double height) { return layer >= 3 && layer < 11 ? height : 1; }

TEST(Threshold, PartsFirstTokensFromOrdinaryOnes) {
  SyntheticNorms norms;
  norms.ratio = [](Index layer) { return plateau(layer, 100); };
  const NormTable table = norms.make();
  const HighNormSplit split = find_high_norms(table);
  ASSERT_TRUE(split.found);
  EXPECT_GT(split.confidence, 0.95);
  for (Index t = 0; t < table.tokens.size(); ++t)
    EXPECT_EQ(split.special[static_cast<std::size_t>(t)] != 0, t % norms.row_tokens == 0);
  // Ordinary norms end near 2 · 1.08^12 = 5; special ones start at 250.
  EXPECT_GT(split.threshold, 10);
  EXPECT_LT(split.threshold, 200);
}

TEST(Threshold, OfAFactorOfThreeIsFound) {
  SyntheticNorms norms;
  norms.scatter = 0.1;
  norms.ratio = [](Index layer) { return plateau(layer, 3); };
  const HighNormSplit split = find_high_norms(norms.make());
  ASSERT_TRUE(split.found);
  EXPECT_LT(split.misplaced, 0.05);
}

TEST(Threshold, KeepsTwoHeightsOfSpecialTokensTogether) {
  SyntheticNorms norms;
  norms.trigger_every = 19;
  norms.ratio = [](Index layer) { return plateau(layer, 400); };
  NormTable table = norms.make();
  for (Index t = 0; t < table.tokens.size(); ++t)  // triggers reach a twentieth
    if (table.tokens.id[static_cast<std::size_t>(t)] == 7)
      for (std::size_t layer = 3; layer < 11; ++layer) table.norms[layer][static_cast<std::size_t>(t)] /= 20;
  const HighNormSplit split = find_high_norms(table);
  ASSERT_TRUE(split.found);
  for (Index t = 0; t < table.tokens.size(); ++t)
    EXPECT_EQ(split.special[static_cast<std::size_t>(t)] != 0,
              table.tokens.id[static_cast<std::size_t>(t)] == 7 || t % norms.row_tokens == 0);
}

TEST(Threshold, IsNoneWhereNoTokenIsSpecial) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    SyntheticNorms norms;
    norms.seed = seed;
    norms.scatter = 0.05 + 0.01 * static_cast<double>(seed % 40);
    norms.initial = false;
    EXPECT_FALSE(find_high_norms(norms.make()).found) << seed;
  }
}

TEST(Threshold, IsNoneWhereEveryTokenLeaps) {
  SyntheticNorms norms;
  norms.initial = false;
  norms.common = [](Index layer) { return layer >= 4 ? 200.0 : 1.0; };
  EXPECT_FALSE(find_high_norms(norms.make()).found);
}

/// A random model's first token attends itself alone, its t-th averages t values: norms like 1/sqrt(t).
TEST(Threshold, IsNoneWhereNormsFallSmoothlyWithPosition) {
  SyntheticNorms norms;
  norms.initial = false;
  norms.scatter = 0.05;
  NormTable table = norms.make();
  for (std::size_t layer = 1; layer < table.norms.size(); ++layer)
    for (std::size_t t = 0; t < table.norms[layer].size(); ++t)
      table.norms[layer][t] /= std::sqrt(1 + static_cast<float>(table.tokens.position[t]));
  EXPECT_FALSE(find_high_norms(table).found);
}

TEST(Threshold, IsNoneInHeavyTails) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    SyntheticNorms norms;
    norms.initial = false;
    NormTable table = norms.make();
    Random random(seed, 1);
    for (auto& layer : table.norms)  // exponential tails of log norm
      for (float& norm : layer) norm *= static_cast<float>(std::exp(-0.4 * std::log(1 - random.uniform())));
    EXPECT_FALSE(find_high_norms(table).found) << seed;
  }
}

TEST(Threshold, GivenByTheUserMarksEveryTokenAboveIt) {
  SyntheticNorms norms;
  norms.ratio = [](Index layer) { return plateau(layer, 100); };
  const HighNormSplit split = split_at(norms.make(), 150);
  ASSERT_TRUE(split.found);
  EXPECT_EQ(split.threshold, 150);
  EXPECT_EQ(std::count(split.special.begin(), split.special.end(), 1), norms.rows);
  EXPECT_FALSE(split_at(norms.make(), 1e6).found);
}

}  // namespace
}  // namespace defectoscope
