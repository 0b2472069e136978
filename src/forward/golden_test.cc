#include "forward/golden.h"

#include <gtest/gtest.h>

#include <bit>

#include "forward/kv_cache.h"

namespace defectoscope {
namespace {

void expect_close(ConstMatrixView got, ConstMatrixView expected, ComputeType compute,
                  const std::string& where) {
  ASSERT_EQ(got.rows(), expected.rows());
  ASSERT_EQ(got.cols(), expected.cols());
  // bf16's steps are 0.4 %: single tokens of so small a model may stray beyond what the layer as a whole
  // keeps.
  if (compute == ComputeType::kBF16) {
    EXPECT_LT(relative_error(got, expected), 1e-2) << where;
    return;
  }
  for (Index r = 0; r < expected.rows(); ++r)
    EXPECT_LT(relative_error(got.block_rows(r, 1), expected.block_rows(r, 1)), 1e-5)
        << where << ", token " << r;
}

class ForwardGolden : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Families, ForwardGolden,
                         ::testing::Values("llama", "llama_linear", "llama_yarn", "llama_bidirectional",
                                           "mistral", "qwen2", "qwen3", "phi3", "phi3_longrope", "granite",
                                           "smollm3", "olmo", "starcoder2", "stablelm", "stablelm_parallel",
                                           "cohere", "cohere2", "gemma", "gemma2", "gemma3", "olmo2",
                                           "exaone4", "glm4", "gpt2", "openai_gpt", "gpt_neo", "gptj",
                                           "gpt_neox", "gpt_neox_sequential", "phi", "opt", "opt_post_norm",
                                           "bloom", "mpt", "falcon", "falcon_40b", "falcon_refined_web",
                                           "falcon2_11b", "falcon_rw", "bert", "roberta", "distilbert"),
                         [](const auto& param_info) { return std::string(param_info.param); });

/// Mixtures of experts are held in f32 alone: rounding to bf16 may rightly choose another expert.
class MixtureGolden : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Families, MixtureGolden,
                         ::testing::Values("mixtral", "mixtral_packed", "qwen2_moe", "qwen3_moe", "gpt_oss",
                                           "deepseek_v2", "deepseek_v3"),
                         [](const auto& param_info) { return std::string(param_info.param); });

/// Keeps the states of every layer.
class Recorder final : public Observer {
 public:
  void on_states(Index, Tap tap, const Batch&, MatrixView states) override {
    if (tap != Tap::kEmbedding && tap != Tap::kAfterLayer) return;
    layers.emplace_back(states.rows(), states.cols());
    std::copy_n(states.data(), states.rows() * states.cols(), layers.back().data());
  }
  std::vector<Matrix> layers;
};

/// All sequences at once, so many times that products take the way of many rows; then each alone.
void expect_agreement(const Golden& golden, ComputeType compute) {
  const Model model = open_golden(golden);
  const Transformer transformer(model, {.compute = compute, .linear = {}});
  const auto expect_states = [&](ConstMatrixView states, std::size_t sequence, std::size_t layer) {
    const std::string where = "layer " + std::to_string(layer) + " of sequence " + std::to_string(sequence);
    expect_close(states, golden.hidden[sequence][layer], compute, where);
    if (layer + 1 < golden.hidden[sequence].size()) return;
    Matrix logits(states.rows(), golden.logits[sequence].cols());
    transformer.logits(states, logits);
    expect_close(logits, golden.logits[sequence], compute, "logits of sequence " + std::to_string(sequence));
  };

  std::vector<TokenIds> sequences;
  for (Index rows = 0; rows <= 100;) {
    for (const TokenIds& sequence : golden.sequences) {
      sequences.push_back(sequence);
      rows += static_cast<Index>(sequence.size());
    }
  }
  const Batch batch(sequences);
  Recorder recorder;
  transformer.run(batch, recorder);
  for (std::size_t i = 0; i < golden.sequences.size(); ++i) {
    const std::vector<Matrix> alone = transformer.hidden_states(golden.sequences[i]);
    const std::size_t layers = golden.hidden[i].size();
    ASSERT_EQ(recorder.layers.size(), layers);
    ASSERT_EQ(alone.size(), layers);
    for (std::size_t layer = 0; layer < layers; ++layer) {
      expect_states(alone[layer], i, layer);
      const Index rows = batch.begin[i + 1] - batch.begin[i];
      expect_states(recorder.layers[layer].view().block_rows(batch.begin[i], rows), i, layer);
    }
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

TEST_P(MixtureGolden, StatesAndLogitsInF32AgreeWithTransformers) {
  expect_agreement(read_golden(GetParam()), ComputeType::kF32);
}

TEST_P(MixtureGolden, TokensOneByOneThroughTheCacheGiveTheWholeSequencesStates) {
  const Golden golden = read_golden(GetParam());
  const Model model = open_golden(golden);
  const Transformer transformer(model);
  const TokenIds& tokens = golden.sequences[0];
  std::vector<KvCache> caches;
  caches.emplace_back(model.config(), static_cast<Index>(tokens.size()));
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const Matrix last = transformer.run_cached(Batch(std::vector<TokenIds>{TokenIds{tokens[i]}}), caches);
    expect_close(last, golden.hidden[0].back().view().block_rows(static_cast<Index>(i), 1), ComputeType::kF32,
                 "token " + std::to_string(i));
  }
}

}  // namespace
}  // namespace defectoscope
