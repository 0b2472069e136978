#include "analysis/mechanism.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "analysis/test_zoo.h"
#include "forward/transformer.h"
#include "kernels/pointwise.h"

namespace defectoscope {
namespace {

struct Explained {
  explicit Explained(const std::string& name) : zoo(name), scan(zoo.scan()) {
    MechanismOptions few;
    few.entries = 200;
    ScanJournal journal;
    mechanism = explain_mechanism(zoo.model, *zoo.tokenizer, scan, few, journal);
  }
  testing_zoo::ZooModel zoo;
  ScanResult scan;
  Mechanism mechanism;
};

TEST(Mechanism, LonePathOfLlamaBaseIsThatOfAnOrdinaryForwardPass) {
  const Explained base("llama-base");
  const Transformer transformer(base.zoo.model);
  ASSERT_GE(base.mechanism.paths.size(), 2u);
  const LonePath& path = base.mechanism.paths.front();
  const auto& tokens = base.scan.high_norm.tokens;
  const auto token = std::ranges::find_if(tokens, &SpikeToken::initial);
  ASSERT_NE(token, tokens.end());
  const auto states = transformer.hidden_states({token->id});
  EXPECT_NEAR(path.embedding, norm(states[0].row(0)), 1e-6 * path.embedding);
  ASSERT_FALSE(path.steps.empty());
  for (std::size_t i = 0; i < path.steps.size(); ++i) {
    EXPECT_NEAR(path.steps[i].before_attention, norm(states[i].row(0)), 1e-5);
    EXPECT_NEAR(path.steps[i].after, norm(states[i + 1].row(0)), 1e-4);
  }
}

TEST(Mechanism, InLlamaBaseTheFfnMakesTheNormOfFirstTokens) {
  const Explained base("llama-base");
  ASSERT_EQ(base.mechanism.explosions.size(), 1u);
  const ExplosionEvidence& explosion = base.mechanism.explosions.front();
  EXPECT_EQ(explosion.layer, 1);
  const PathStep& step = base.mechanism.paths.front().steps.front();
  ASSERT_TRUE(step.before_ffn);
  EXPECT_GT(step.after, 5 * *step.before_ffn);
  // Here the FFN is too far from linear for F's leading direction to be the one that explodes; it is among
  // those tried, and what they reach is what the real FFN gives.
  EXPECT_GT(std::max(explosion.leading_output, explosion.next_output), 5 * *step.before_ffn);
  EXPECT_GT(explosion.coefficient_first, explosion.coefficient_second);
  EXPECT_GT(explosion.high_first, explosion.high_second);
  EXPECT_EQ(base.mechanism.entries, 200);
  ASSERT_EQ(base.mechanism.decays.size(), 1u);
  EXPECT_LT(*base.mechanism.decays.front().eigenvalue_re, -1);
}

TEST(Mechanism, InGpt2MiniOnlyTheLeadingRightSingularVectorExplodes) {
  const Explained gpt2("gpt2-mini");
  ASSERT_EQ(gpt2.mechanism.explosions.size(), 1u);
  const ExplosionEvidence& explosion = gpt2.mechanism.explosions.front();
  EXPECT_GT(explosion.leading_output, 2 * explosion.next_output);
  EXPECT_TRUE(gpt2.mechanism.decays.empty());
}

TEST(Mechanism, WithoutHighNormTokensASentenceSaysSo) {
  const Explained start("llama-base-ckpt-0");
  EXPECT_NE(start.mechanism.reason.find("No token has a high norm"), std::string::npos);
  EXPECT_TRUE(start.mechanism.paths.empty());
}

}  // namespace
}  // namespace defectoscope
