#include "forward/golden.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

namespace defectoscope {
namespace {

/// ‖got − expected‖ / ‖expected‖ of rows [first, first + count).
double relative_error(ConstMatrixView got, ConstMatrixView expected, Index first, Index count) {
  double difference = 0, size = 0;
  for (Index r = first; r < first + count; ++r) {
    for (Index c = 0; c < expected.cols(); ++c) {
      const double e = expected(r, c), delta = got(r, c) - e;
      difference += delta * delta;
      size += e * e;
    }
  }
  return std::sqrt(difference / size);
}

void expect_close(ConstMatrixView got, ConstMatrixView expected, ComputeType compute,
                  const std::string& where) {
  ASSERT_EQ(got.rows(), expected.rows());
  ASSERT_EQ(got.cols(), expected.cols());
  // bf16's steps are 0.4 %: single tokens of so small a model may stray beyond what the layer as a whole
  // keeps.
  if (compute == ComputeType::kBF16) {
    EXPECT_LT(relative_error(got, expected, 0, expected.rows()), 1e-2) << where;
    return;
  }
  for (Index r = 0; r < expected.rows(); ++r)
    EXPECT_LT(relative_error(got, expected, r, 1), 1e-5) << where << ", token " << r;
}

class ForwardGolden : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Families, ForwardGolden,
                         ::testing::Values("llama", "llama_linear", "mistral", "qwen2", "gpt2", "gpt_neox",
                                           "gptj", "mpt", "glm4", "exaone4", "openai_gpt"),
                         [](const auto& param_info) { return std::string(param_info.param); });

void expect_agreement(const Golden& golden, ComputeType compute) {
  const Model model = open_golden(golden);
  const Transformer transformer(model, {.compute = compute, .linear = {}});
  for (std::size_t i = 0; i < golden.sequences.size(); ++i) {
    const std::string of = " of sequence " + std::to_string(i);
    const std::vector<Matrix> hidden = transformer.hidden_states(golden.sequences[i]);
    ASSERT_EQ(hidden.size(), golden.hidden[i].size());
    for (std::size_t layer = 0; layer < hidden.size(); ++layer)
      expect_close(hidden[layer], golden.hidden[i][layer], compute, "layer " + std::to_string(layer) + of);
    Matrix logits(golden.logits[i].rows(), golden.logits[i].cols());
    transformer.logits(hidden.back(), logits);
    expect_close(logits, golden.logits[i], compute, "logits" + of);
  }
}

TEST_P(ForwardGolden, GeneratedWeightsAreTheReferencesBits) {
  const Golden golden = read_golden(GetParam());
  ASSERT_FALSE(golden.samples.empty());
  for (const Golden::Sample& sample : golden.samples) {
    const auto tensor = std::find_if(golden.tensors.begin(), golden.tensors.end(),
                                     [&](const GeneratedTensor& t) { return t.name == sample.name; });
    ASSERT_NE(tensor, golden.tensors.end());
    float value = 0;
    generate_values(golden.seed, *tensor, sample.index, {&value, 1});
    EXPECT_EQ(std::bit_cast<std::uint32_t>(value), sample.bits) << sample.name << " [" << sample.index << "]";
  }
}

TEST_P(ForwardGolden, StatesAndLogitsInF32AgreeWithTransformers) {
  expect_agreement(read_golden(GetParam()), ComputeType::kF32);
}

TEST_P(ForwardGolden, StatesAndLogitsInBf16AgreeWithTransformers) {
  expect_agreement(read_golden(GetParam()), ComputeType::kBF16);
}

}  // namespace
}  // namespace defectoscope
