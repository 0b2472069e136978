#include <gtest/gtest.h>

#include <algorithm>

#include "base/parallel.h"
#include "planted_states.h"

namespace defectoscope {
namespace {

/// Models so small are done before other threads have woken up.
class OneThread : public ::testing::Environment {
  void SetUp() override { set_thread_count(1); }
};
const auto* const kOneThread = ::testing::AddGlobalTestEnvironment(new OneThread);

PhantomOptions tiny(PhantomVariant variant, PhantomForm form = PhantomForm::kLlama) {
  PhantomOptions options;
  options.shape = phantom_shape_named(form == PhantomForm::kLlama ? "tiny" : "tiny-gpt2");
  options.variant = variant;
  options.seed = 17;
  return options;
}

class NearMiss : public ::testing::TestWithParam<PhantomForm> {
 protected:
  PhantomModel make(PhantomVariant variant) const { return phantom_in_memory(tiny(variant, GetParam())); }
};

TEST_P(NearMiss, GradualGrowthHasNoAbruptLayer) {
  const PhantomModel phantom = make(PhantomVariant::kGradual);
  const StateNorms norms = measure_norms(phantom);
  EXPECT_TRUE(phantom.truth.explosion_layers.empty());
  ASSERT_GE(phantom.truth.growth_layers.size(), 4u);
  const double full = phantom.truth.high_norm;
  for (std::size_t layer = 1; layer < norms.first.size(); ++layer)
    EXPECT_LT(median(norms.first[layer]) - median(norms.first[layer - 1]), 0.35 * full);
  EXPECT_GT(median(norms.first[static_cast<std::size_t>(phantom.truth.growth_layers.back())]), 0.9 * full);
}

TEST_P(NearMiss, TwoStepDecayTakesHalfEachTime) {
  const PhantomModel phantom = make(PhantomVariant::kTwoStepDecay);
  const StateNorms norms = measure_norms(phantom);
  ASSERT_EQ(phantom.truth.decay_layers.size(), 2u);
  const auto after = [&](std::size_t i) {
    return median(norms.first[static_cast<std::size_t>(phantom.truth.decay_layers[i])]);
  };
  EXPECT_NEAR(after(0) / phantom.truth.high_norm, 0.5, 0.05);
  EXPECT_LT(after(1), 0.1 * phantom.truth.high_norm);
}

TEST_P(NearMiss, OnlyChosenTokensExplodeWhereFirstPositionsMeanNothing) {
  const PhantomModel phantom = make(PhantomVariant::kNonInitialOnly);
  const StateNorms norms = measure_norms(phantom);
  const auto layer = static_cast<std::size_t>(phantom.truth.explosion_layers.at(0));
  EXPECT_FALSE(phantom.truth.initial_tokens);
  EXPECT_GT(smallest(norms.spikes[layer]), 0.8 * phantom.truth.high_norm);
  for (const std::vector<double>& first : norms.first) EXPECT_LT(largest(first), 3 * median(first));
}

TEST_P(NearMiss, FactorThreeIsAFactorOfThree) {
  const PhantomModel phantom = make(PhantomVariant::kFactorThree);
  const StateNorms norms = measure_norms(phantom);
  EXPECT_NEAR(median(norms.first[2]) / median(norms.ordinary[2]), 3, 0.3);
}

TEST_P(NearMiss, EveryTokenLeapsAlike) {
  const PhantomModel phantom = make(PhantomVariant::kEveryToken);
  const StateNorms norms = measure_norms(phantom);
  EXPECT_TRUE(phantom.truth.explosion_layers.empty());
  const auto layer = static_cast<std::size_t>(phantom.truth.leap_layers.at(0));
  EXPECT_GT(smallest(norms.ordinary[layer]), 10 * largest(norms.ordinary[layer - 1]));
  EXPECT_NEAR(median(norms.first[layer]) / median(norms.ordinary[layer]), 1, 0.1);
}

TEST_P(NearMiss, WithoutDecayTheHighNormStays) {
  const PhantomModel phantom = make(PhantomVariant::kNoDecay);
  const StateNorms norms = measure_norms(phantom);
  EXPECT_TRUE(phantom.truth.decay_layers.empty());
  EXPECT_GT(smallest(norms.first.back()), 0.9 * phantom.truth.high_norm);
}

TEST_P(NearMiss, SeveralExplosionsAndDecaysFollowThePlan) {
  PhantomOptions options = tiny(PhantomVariant::kStandard, GetParam());
  options.explosion_layers = {2, 3, 4};
  options.decay_layers = {6, 7};
  const PhantomModel phantom = phantom_in_memory(options);
  const StateNorms norms = measure_norms(phantom);
  for (std::size_t layer = 0; layer < 7; ++layer) {
    const double planned = phantom.truth.expected_high_norms[layer];
    EXPECT_NEAR(median(norms.first[layer]) / planned, 1, 0.1) << layer;
    EXPECT_NEAR(median(norms.spikes[layer]) / planned, 1, 0.1) << layer;
  }
  EXPECT_LT(median(norms.first[7]), 0.1 * phantom.truth.high_norm);
}

TEST_P(NearMiss, TwoKindsOfTokensExplodeInTheirOwnLayers) {
  PhantomOptions options = tiny(PhantomVariant::kStandard, GetParam());
  options.explosion_layers = {2, 4};
  options.second = SecondExplosion::kOtherTokens;
  const PhantomModel phantom = phantom_in_memory(options);
  const StateNorms norms = measure_norms(phantom);
  const double high = phantom.truth.high_norm;
  EXPECT_GT(smallest(norms.first[2]), 0.8 * high);
  EXPECT_LT(largest(norms.first[4]), 1.25 * high);
  EXPECT_LT(largest(norms.spikes[3]), 3 * median(norms.ordinary[3]));
  EXPECT_GT(smallest(norms.spikes[4]), 0.8 * high);
  EXPECT_LT(largest(norms.spikes[4]), 1.25 * high);
}

TEST_P(NearMiss, NothingIsSpecialInRandomWeights) {
  const PhantomModel phantom = make(PhantomVariant::kNone);
  const StateNorms norms = measure_norms(phantom);
  EXPECT_TRUE(phantom.truth.u.empty());
  for (std::size_t layer = 0; layer < norms.first.size(); ++layer)
    EXPECT_LT(largest(norms.first[layer]), 5 * median(norms.ordinary[layer])) << layer;
}

INSTANTIATE_TEST_SUITE_P(Forms, NearMiss, ::testing::Values(PhantomForm::kLlama, PhantomForm::kGpt2),
                         [](const auto& info) {
                           return info.param == PhantomForm::kLlama ? "Llama" : "Gpt2";
                         });

TEST(PhantomPrecision, Bf16ForwardShowsTheSame) {
  const PhantomModel phantom = phantom_in_memory(tiny(PhantomVariant::kStandard));
  const StateNorms norms = measure_norms(phantom, 16, 16, ComputeType::kBF16);
  EXPECT_GT(smallest(norms.first[2]), 0.8 * phantom.truth.high_norm);
  EXPECT_LT(largest(norms.first[2]), 1.25 * phantom.truth.high_norm);
  EXPECT_LT(largest(norms.ordinary[4]), 3 * median(norms.ordinary[4]));
}

TEST(PhantomSampling, SampledTextIsVariedAndHasChosenTokens) {
  for (const PhantomForm form : {PhantomForm::kLlama, PhantomForm::kGpt2}) {
    const PhantomModel phantom = phantom_in_memory(tiny(PhantomVariant::kStandard, form));
    const Transformer transformer(phantom.model);
    const std::vector<TokenIds> rows = transformer.sample(std::vector<TokenIds>(16, {77}), 64, 1, 5);
    TokenIds all;
    for (const TokenIds& row : rows) all.insert(all.end(), row.begin() + 1, row.end());
    const auto chosen = std::count_if(all.begin(), all.end(), [&](std::int32_t id) {
      return std::any_of(phantom.truth.spike_tokens.begin(), phantom.truth.spike_tokens.end(),
                         [&](const PlantedToken& token) { return token.id == id; });
    });
    EXPECT_GT(chosen, static_cast<std::ptrdiff_t>(all.size() / 100));
    EXPECT_LT(chosen, static_cast<std::ptrdiff_t>(all.size() / 4));
    EXPECT_EQ(all.size(), 16u * 63u) << "the end token is avoided";
    std::sort(all.begin(), all.end());
    EXPECT_GT(std::unique(all.begin(), all.end()) - all.begin(), 100);
  }
}

}  // namespace
}  // namespace defectoscope
