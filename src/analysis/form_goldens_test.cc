#include "analysis/form_goldens.h"

#include <gtest/gtest.h>

namespace defectoscope {
namespace {

// A and F of every family's goldens beside transformers' own layers (tools/golden_forms.py). Where the linear
// form is not the block's mean Jacobian by its definition, the parts that it is made of are held instead:
//
// - Layers with experts (mixtral, qwen2_moe, qwen3_moe, gpt_oss, deepseek): F weighs each expert's F by the
//   mean weight the router gives it. That a router sends an expert inputs of its own kind, and the router's
//   own slope, are left out. Held: single experts, the shared one, the mean weights.
// - gpt_oss: attention beside a sink is not linear. Held: A with the sinks away, and the mean shares.
// - olmo: values clipped to ± clip_qkv are not linear; the clip is left out on both sides.
// - Norms after attention and FFN alone (olmo2, exaone4): F̂ is F over its own size. Held: F, and that size.
class FormGoldens : public ::testing::TestWithParam<std::string> {};

TEST_P(FormGoldens, AIsTransformersAttentionOnOneTokenAndFTheMeanJacobianOfItsFfn) {
  const Golden golden = read_golden(GetParam());
  const FormErrors errors = form_errors(golden, open_golden(golden));
  EXPECT_LT(errors.attention, 1e-6);
  // In every component. Chance alone would put 0.6 of 10,000 independent normal ones beyond 4; ours are not
  // independent, all goldens see the same samples.
  ASSERT_GE(errors.deviations.size(), 190u);
  EXPECT_LT(errors.largest(), 4);
  // What is wrong by little in many places shows in their mean square. Components of one sample are not
  // independent, so that it strays more than 200 independent ones' would.
  EXPECT_LT(errors.mean_square(), 1.6);
}

INSTANTIATE_TEST_SUITE_P(Families, FormGoldens, ::testing::ValuesIn(golden_names()),
                         [](const auto& param_info) { return param_info.param; });

TEST(FormGoldens, FOfAnotherCovarianceIsFarFromTheMeanJacobian) {
  const Golden golden = read_golden("gpt2");
  const Model model = open_golden(golden);
  const FormErrors errors = form_errors(golden, model, {.covariance = InputCovariance::kIdentity});
  EXPECT_LT(errors.attention, 1e-6);
  EXPECT_GT(errors.mean_square(), 10);
}

}  // namespace
}  // namespace defectoscope
