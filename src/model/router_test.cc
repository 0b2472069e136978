#include "model/router.h"

#include <gtest/gtest.h>

#include <cmath>

namespace defectoscope {
namespace {

ModelConfig config_of(const ArchitectureSpec& row, Index experts, Index chosen) {
  ModelConfig config;
  config.architecture = &row;
  config.experts.experts = experts;
  config.experts.chosen = chosen;
  return config;
}

TEST(Router, SoftmaxOverAllThenTopTwoKeepsTheirProbabilities) {
  const ArchitectureSpec row;
  const std::vector<float> logits = {0.0f, std::log(3.0f), std::log(2.0f), std::log(4.0f)};
  const auto routed = route(config_of(row, 4, 2), logits, {});
  ASSERT_EQ(routed.size(), 2u);
  EXPECT_EQ(routed[0].expert, 1);
  EXPECT_NEAR(routed[0].weight, 0.3, 1e-7);
  EXPECT_EQ(routed[1].expert, 3);
  EXPECT_NEAR(routed[1].weight, 0.4, 1e-7);
}

TEST(Router, NormalizedWeightsAreTheSoftmaxOfTheChosenLogitsTimesTheScale) {
  const ArchitectureSpec row;
  ModelConfig config = config_of(row, 4, 2);
  config.experts.normalized = true;
  config.experts.scale = 2.5;
  const std::vector<float> logits = {1.0f, -2.0f, 0.25f, 0.0f};
  const auto routed = route(config, logits, {});
  const double first = std::exp(1.0), second = std::exp(0.25);
  EXPECT_NEAR(routed[0].weight, 2.5 * first / (first + second), 1e-12);
  EXPECT_NEAR(routed[1].weight, 2.5 * second / (first + second), 1e-12);
}

TEST(Router, TheSelectionBiasChoosesButDoesNotWeigh) {
  const ArchitectureSpec row{.experts = {.score = RouterScore::kSigmoid}};
  const std::vector<float> logits = {0.0f, 1.0f, -1.0f}, bias = {0.0f, -1.0f, 1.0f};
  const auto routed = route(config_of(row, 3, 1), logits, bias);
  ASSERT_EQ(routed.size(), 1u);
  EXPECT_EQ(routed[0].expert, 2);
  EXPECT_NEAR(routed[0].weight, 1 / (1 + std::exp(1.0)), 1e-12);
}

TEST(Router, GroupsAreRankedByTheirBestExpertOrByTheirTwoBest) {
  const std::vector<float> logits = {3.0f, -9.0f, 2.0f, 1.9f};
  for (const GroupScore kind : {GroupScore::kLargest, GroupScore::kSumOfLargest}) {
    const ArchitectureSpec row{.experts = {.score = RouterScore::kSigmoid, .group_score = kind}};
    ModelConfig config = config_of(row, 4, 1);
    config.experts.groups = 2;
    config.experts.chosen_groups = 1;
    EXPECT_EQ(route(config, logits, {})[0].expert, kind == GroupScore::kLargest ? 0 : 2);
  }
}

TEST(Router, EqualScoresGoToTheLowerExpert) {
  const ArchitectureSpec row;
  const auto routed = route(config_of(row, 5, 2), std::vector<float>(5, 0.5f), {});
  EXPECT_EQ(routed[0].expert, 0);
  EXPECT_EQ(routed[1].expert, 1);
}

}  // namespace
}  // namespace defectoscope
