#include "lineage/relations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "lineage/test_signatures.h"

namespace defectoscope {
namespace {

using testing::ElementsAre;

Relations of_zoo(const std::vector<std::string>& names) {
  std::vector<Signature> signatures;
  for (const std::string& name : names) signatures.push_back(testing_lineage::signature_of(name));
  return relations(signatures);
}

TEST(Relations, TheZooFallsIntoItsFamilies) {
  const Relations r = of_zoo({"llama-seed2", "llama-base", "llama-base-ft-full", "gpt2-mini", "llama-wide",
                              "llama-base-ckpt-2400", "llama-base-ft-lora"});
  EXPECT_THAT(r.cluster, ElementsAre(0, 1, 1, 2, 1, 1, 1));
  EXPECT_FALSE(r.parents[0]);
  EXPECT_FALSE(r.parents[1]);  // llama-base: the centre
  for (const std::size_t i : {2u, 4u, 5u}) EXPECT_EQ(r.parents[i]->model, 1) << i;
  // The two fine-tunes read the same text, and one is a hair closer to the other than to their base.
  EXPECT_THAT(r.parents[6]->model, testing::AnyOf(1, 2));
  // Unrelated ones join last, above all that is related.
  ASSERT_EQ(r.dendrogram.size(), 6u);
  EXPECT_LT(r.dendrogram[3].height_degrees, 30);
  EXPECT_GT(r.dendrogram[4].height_degrees, 60);
  EXPECT_EQ(r.dendrogram.back().size, 7);
}

TEST(Relations, SnapshotsFormAChainInTheOrderOfTheirSteps) {
  const Relations r =
      of_zoo({"llama-base-ckpt-800", "llama-base-ckpt-1600", "llama-base-ckpt-2400", "llama-base"});
  EXPECT_THAT(r.cluster, ElementsAre(0, 0, 0, 0));
  EXPECT_LT(*r.pair(0, 1).distance_degrees, *r.pair(0, 2).distance_degrees);
  EXPECT_LT(*r.pair(2, 3).distance_degrees, *r.pair(1, 3).distance_degrees);
  // Every tree edge joins neighbours in time.
  for (Index i = 0; i < 4; ++i) {
    const auto& parent = r.parents[static_cast<std::size_t>(i)];
    if (parent) {
      EXPECT_EQ(std::abs(parent->model - i), 1);
    }
  }
}

TEST(Relations, PairsAreFoundInEitherOrderAndCorrectedForTheirNumber) {
  const Relations r = of_zoo({"llama-base", "llama-base-ckpt-400", "llama-seed2"});
  EXPECT_EQ(&r.pair(0, 2), &r.pair(2, 0));
  EXPECT_EQ(r.pair(1, 2).a, 1);
  EXPECT_EQ(r.pair(1, 2).b, 2);
  EXPECT_NEAR(*r.pair(0, 1).log_p, *r.pair(0, 1).comparison.log_p + std::log(3), 1e-9);
}

TEST(Relations, OneModelAloneIsItsOwnCluster) {
  const Relations r = of_zoo({"llama-base"});
  EXPECT_THAT(r.cluster, ElementsAre(0));
  EXPECT_TRUE(r.dendrogram.empty());
  EXPECT_THAT(r.leaf_order, ElementsAre(0));
}

}  // namespace
}  // namespace defectoscope
