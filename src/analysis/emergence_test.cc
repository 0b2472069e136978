#include "analysis/emergence.h"

#include <gtest/gtest.h>

#include "analysis/test_zoo.h"

namespace defectoscope {
namespace {

using testing_zoo::ZooModel;

EmergenceRow row_of(const std::string& name) {
  const ZooModel zoo(name);
  return emergence_row(zoo.scan_states(), zoo.model.config());
}

TEST(Emergence, FactorsAreTheConfigurations) {
  const EmergenceRow base = row_of("llama-base");
  EXPECT_TRUE(base.factors.causal);
  EXPECT_EQ(base.factors.window, 0);
  EXPECT_EQ(base.factors.positions, "rotary");
  EXPECT_EQ(base.factors.ffn, "gated SiLU");
  EXPECT_EQ(base.factors.queries_per_key, 1);
  EXPECT_FALSE(base.factors.parallel);
  EXPECT_EQ(base.factors.norm, "RMSNorm before");
  const EmergenceRow gpt2 = row_of("gpt2-mini");
  EXPECT_EQ(gpt2.factors.positions, "learned");
  EXPECT_EQ(gpt2.factors.ffn, "plain tanh-GELU");
  EXPECT_EQ(gpt2.factors.norm, "LayerNorm before");
}

TEST(Emergence, AWindowShorterThanTheTextDoesNotKeepHighNormsAwayInTheZoo) {
  const EmergenceRow window = row_of("llama-window");
  EXPECT_EQ(window.factors.window, 8);
  EXPECT_EQ(window.factors.windowed_layers, 6);
  EXPECT_TRUE(window.has_high_norms);
  EXPECT_GT(window.median_ratio, 10);
  EXPECT_NE(window.sentence.find("A window of 8 tokens"), std::string::npos);
}

TEST(Emergence, APostNormEncoderCannotHaveThem) {
  ModelConfig config = ZooModel("llama-base").model.config();
  ArchitectureSpec encoder = *config.architecture;
  encoder.placement = NormPlacement::kPost;
  config.architecture = &encoder;
  config.causal = false;
  const EmergenceRow row = emergence_row(ScanResult{}, config);
  EXPECT_FALSE(row.factors.causal);
  EXPECT_NE(row.sentence.find("none could arise"), std::string::npos);
}

}  // namespace
}  // namespace defectoscope
