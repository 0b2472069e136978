#include "forward/transformer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/parallel.h"
#include "forward/golden.h"
#include "forward/kv_cache.h"

namespace defectoscope {
namespace {

using ::testing::HasSubstr;

const TokenIds kTokens = {5, 17, 42, 3, 60, 5, 8, 23, 31, 11, 12, 50};

double relative_difference(ConstMatrixView a, ConstMatrixView b) {
  EXPECT_EQ(a.rows(), b.rows());
  double difference = 0, size = 0;
  for (Index r = 0; r < a.rows(); ++r) {
    for (Index c = 0; c < a.cols(); ++c) {
      difference += std::pow(double{a(r, c)} - double{b(r, c)}, 2);
      size += std::pow(double{b(r, c)}, 2);
    }
  }
  return std::sqrt(difference / size);
}

bool same_bytes(ConstMatrixView a, ConstMatrixView b) {
  if (a.rows() != b.rows() || a.cols() != b.cols()) return false;
  for (Index r = 0; r < a.rows(); ++r)
    if (std::memcmp(a.row(r).data(), b.row(r).data(), a.row(r).size_bytes()) != 0) return false;
  return true;
}

/// Keeps the states of every tap, and changes or skips what a test asks for.
class Probe : public Observer {
 public:
  void on_states(Index layer_index, Tap tap, const Batch&, MatrixView states) override {
    if (change) change(layer_index, tap, states);
    if (tap == Tap::kBeforeFfn) before_ffn.emplace_back(ConstMatrixView(states));
    if (tap == Tap::kEmbedding || tap == Tap::kAfterLayer) after.emplace_back(ConstMatrixView(states));
  }
  bool wants_attention() const override { return record_attention; }
  void on_attention(Index, const Batch&, std::span<const float> received) override {
    drawn.emplace_back(received.begin(), received.end());
  }
  bool without_attention(Index) const override { return skip_attention; }
  bool stop_after(Index layer_index) const override { return layer_index == last; }

  std::function<void(Index, Tap, MatrixView)> change;
  bool record_attention = false, skip_attention = false;
  Index last = -1;
  std::vector<Matrix> after, before_ffn;
  std::vector<std::vector<float>> drawn;
};

class TransformerOf : public ::testing::TestWithParam<const char*> {
 protected:
  Model model_ = open_golden(read_golden(GetParam()));
  Transformer transformer_{model_};
};

INSTANTIATE_TEST_SUITE_P(Families, TransformerOf,
                         ::testing::Values("llama", "mistral", "gpt2", "gptj", "mpt", "glm4", "openai_gpt"),
                         [](const auto& param_info) { return std::string(param_info.param); });

TEST_P(TransformerOf, TokensDoNotSeeLaterOnes) {
  const std::vector<Matrix> whole = transformer_.hidden_states(kTokens);
  TokenIds changed = kTokens;
  for (std::size_t i = 7; i < changed.size(); ++i) changed[i] = 9;
  const std::vector<Matrix> other = transformer_.hidden_states(changed);
  for (std::size_t layer = 0; layer < whole.size(); ++layer)
    EXPECT_TRUE(same_bytes(whole[layer].view().block_rows(0, 7), other[layer].view().block_rows(0, 7)));
  EXPECT_GT(relative_difference(whole.back().view().block_rows(7, 5), other.back().view().block_rows(7, 5)),
            0.1);

  const std::vector<Matrix> lone = transformer_.hidden_states({kTokens[0]});
  EXPECT_LT(relative_difference(whole.back().view().block_rows(0, 1), lone.back()), 2e-6);
}

TEST_P(TransformerOf, SequencesOfABatchDoNotMeet) {
  std::vector<TokenIds> sequences;
  for (std::size_t length = 1; length <= 10; ++length)
    sequences.emplace_back(kTokens.begin(), kTokens.begin() + static_cast<std::ptrdiff_t>(length));
  Probe probe;
  const Batch batch(sequences);
  transformer_.run(batch, probe);
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    const Matrix alone = transformer_.hidden_states(sequences[i]).back();
    const auto rows = static_cast<Index>(sequences[i].size());
    EXPECT_LT(relative_difference(probe.after.back().view().block_rows(batch.begin[i], rows), alone), 2e-6);
  }
}

TEST_P(TransformerOf, LayersRunOneByOneGiveTheWholePass) {
  const Batch batch({kTokens, {4, 4, 4}});
  Probe whole;
  transformer_.run(batch, whole);
  Matrix states = transformer_.embed(batch);
  EXPECT_TRUE(same_bytes(states, whole.after[0]));
  for (Index layer = 0; layer < model_.config().layers; ++layer) {
    Observer nothing;
    transformer_.run_layer(layer, batch, states, nothing);
    EXPECT_TRUE(same_bytes(states, whole.after[static_cast<std::size_t>(layer + 1)])) << "layer " << layer;
  }
}

TEST_P(TransformerOf, BytesDoNotDependOnThreads) {
  const int before = thread_count();
  for (const ComputeType compute : {ComputeType::kF32, ComputeType::kBF16}) {
    const Transformer transformer(model_, {.compute = compute, .linear = {}});
    std::vector<Matrix> expected;
    Matrix expected_logits(static_cast<Index>(kTokens.size()), model_.config().vocab_size);
    for (const int threads : {1, 2, 4}) {
      set_thread_count(threads);
      const std::vector<Matrix> states = transformer.hidden_states(kTokens);
      Matrix logits(expected_logits.rows(), expected_logits.cols());
      transformer.logits(states.back(), logits);
      if (threads == 1) {
        expected = states;
        expected_logits = logits;
      }
      EXPECT_TRUE(same_bytes(states.back(), expected.back()));
      EXPECT_TRUE(same_bytes(logits, expected_logits));
    }
  }
  set_thread_count(before);
}

TEST_P(TransformerOf, DecodingWithACacheGivesTheWholePass) {
  const std::vector<TokenIds> sequences = {kTokens, {7, 7, 30, 2, 19}};
  std::vector<KvCache> caches;
  for (const TokenIds& sequence : sequences)
    caches.emplace_back(model_.config(), static_cast<Index>(sequence.size()));
  // The first 2 and 3 tokens at once, then one by one while there are any.
  std::vector<std::vector<Matrix>> pieces(2);
  const Matrix first = transformer_.run_cached(Batch({{kTokens[0], kTokens[1]}, {7, 7, 30}}), caches);
  pieces[0].emplace_back(ConstMatrixView(first.view().block_rows(0, 2)));
  pieces[1].emplace_back(ConstMatrixView(first.view().block_rows(2, 3)));
  for (std::size_t i = 0; i < 2; ++i) {
    for (auto at = static_cast<std::size_t>(caches[i].size()); at < sequences[i].size(); ++at)
      pieces[i].push_back(
          transformer_.run_cached(Batch(std::vector<TokenIds>{{sequences[i][at]}}), {&caches[i], 1}));
    const Matrix whole = transformer_.hidden_states(sequences[i]).back();
    Index row = 0;
    for (const Matrix& piece : pieces[i]) {
      EXPECT_LT(relative_difference(piece, whole.view().block_rows(row, piece.rows())), 5e-6)
          << "token " << row;
      row += piece.rows();
    }
    EXPECT_EQ(row, whole.rows());
  }
}

TEST_P(TransformerOf, WithoutAttentionEveryTokenIsAlone) {
  Probe together, alone;
  together.skip_attention = alone.skip_attention = true;
  transformer_.run(Batch({kTokens}), together);
  for (std::size_t i = 0; i < kTokens.size(); ++i) {
    // A copy of the token before it stands in for its position, where positions are learned.
    TokenIds sequence(i + 1, kTokens[i]);
    Probe probe;
    probe.skip_attention = true;
    transformer_.run(Batch({sequence}), probe);
    const auto row = static_cast<Index>(i);
    EXPECT_LT(relative_difference(together.after.back().view().block_rows(row, 1),
                                  probe.after.back().view().block_rows(row, 1)),
              2e-6);
  }
  Probe with;
  transformer_.run(Batch({kTokens}), with);
  EXPECT_GT(relative_difference(together.after.back(), with.after.back()), 0.01);
}

/// Where blocks are x + FFN(x) after attention, with nothing done to the sum.
class SequentialTransformer : public TransformerOf {};
INSTANTIATE_TEST_SUITE_P(Families, SequentialTransformer,
                         ::testing::Values("llama", "gpt2", "glm4", "exaone4"),
                         [](const auto& param_info) { return std::string(param_info.param); });

TEST_P(SequentialTransformer, FfnAloneIsWhatTheLayerAddsAfterItsTap) {
  Probe probe;
  transformer_.run(Batch({kTokens}), probe);
  for (Index layer = 0; layer < model_.config().layers; ++layer) {
    const Matrix& input = probe.before_ffn[static_cast<std::size_t>(layer)];
    Matrix sum(input.rows(), input.cols());
    transformer_.run_ffn(layer, input, sum);
    for (Index i = 0; i < sum.rows() * sum.cols(); ++i) sum.data()[i] += input.data()[i];
    EXPECT_TRUE(same_bytes(sum, probe.after[static_cast<std::size_t>(layer + 1)]));
  }
}

class LlamaTransformer : public ::testing::Test {
 protected:
  Golden golden_ = read_golden("llama");
  Model model_ = open_golden(golden_);
  Transformer transformer_{model_};
};

TEST_F(LlamaTransformer, ChangedStatesGoOnChanged) {
  const Batch batch({kTokens});
  Probe plain, edited;
  transformer_.run(batch, plain);
  edited.change = [](Index layer, Tap tap, MatrixView states) {
    if (layer == 0 && tap == Tap::kAfterLayer) states(4, 11) += 3;
  };
  transformer_.run(batch, edited);
  EXPECT_TRUE(same_bytes(plain.after[0], edited.after[0]));
  EXPECT_FLOAT_EQ(edited.after[1](4, 11), plain.after[1](4, 11) + 3);
  Matrix states = edited.after[1];
  Observer nothing;
  transformer_.run_layer(1, batch, states, nothing);
  EXPECT_TRUE(same_bytes(states, edited.after[2]));
  EXPECT_TRUE(same_bytes(states.view().block_rows(0, 4), plain.after[2].view().block_rows(0, 4)));
  EXPECT_FALSE(same_bytes(states, plain.after[2]));
}

TEST_F(LlamaTransformer, StopsAfterTheLayerAsked) {
  Probe probe;
  probe.last = 1;
  transformer_.run(Batch({kTokens}), probe);
  EXPECT_EQ(probe.after.size(), 3u);  // embedding, layers 0 and 1
}

TEST_F(LlamaTransformer, EqualScoresDrawEqualAttention) {
  for (GeneratedTensor& tensor : golden_.tensors)
    if (tensor.name.find("q_proj") != std::string::npos) tensor.exponent = -60;
  const Model model = open_golden(golden_);
  Probe probe;
  probe.record_attention = true;
  const Batch batch({{1, 2, 3, 4}, {9}, {8, 7}});
  Transformer(model).run(batch, probe);
  ASSERT_EQ(probe.drawn.size(), 3u);
  for (const std::vector<float>& drawn : probe.drawn) {
    ASSERT_EQ(drawn.size(), 7u);
    const std::vector<double> expected = {
        (1 / 2. + 1 / 3. + 1 / 4.) / 3, (1 / 3. + 1 / 4.) / 2, 1 / 4., 0, 0, 1 / 2., 0};
    for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(drawn[i], expected[i], 1e-6) << i;
  }
}

TEST_F(LlamaTransformer, NotANumberIsReportedWithItsLayerAndToken) {
  Probe probe;
  probe.change = [](Index layer, Tap tap, MatrixView states) {
    if (layer == 1 && tap == Tap::kBeforeFfn) states(6, 3) = std::numeric_limits<float>::infinity();
  };
  try {
    transformer_.run(Batch({{1, 2, 3, 4}, kTokens}), probe);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
    EXPECT_THAT(error.what(), HasSubstr("layer 2"));
    EXPECT_THAT(error.what(), HasSubstr("token 3 of sequence 2"));
  }
}

TEST_F(LlamaTransformer, TokensOutsideTheVocabularyAreRefused) {
  Observer nothing;
  for (const std::int32_t bad : {61, -1}) {
    try {
      transformer_.run(Batch({{1, 2}, {3, bad}}), nothing);
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
      EXPECT_THAT(error.what(), HasSubstr("token 2 of sequence 2"));
      EXPECT_THAT(error.what(), HasSubstr(std::to_string(bad)));
      EXPECT_THAT(error.what(), HasSubstr("0 to 60"));
    }
  }
  EXPECT_THROW(transformer_.run(Batch({{1}, {}}), nothing), Error);
}

TEST(Gpt2Transformer, SequencesLongerThanLearnedPositionsAreRefused) {
  const Model model = open_golden(read_golden("gpt2"));
  const Transformer transformer(model);
  EXPECT_EQ(transformer.hidden_states(TokenIds(64, 5)).size(), 4u);
  try {
    transformer.hidden_states(TokenIds(65, 5));
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
    EXPECT_THAT(error.what(), HasSubstr("at most 64 tokens"));
  }
  EXPECT_THROW(transformer.sample({{1}}, 65, 1, 0), Error);
}

TEST_F(LlamaTransformer, EveryMatmulGoesThroughTheFactory) {
  std::vector<ModuleId> asked;
  std::atomic<int> applied = 0;
  class Counting final : public Linear {
   public:
    Counting(std::unique_ptr<Linear> inner, std::atomic<int>& applied)
        : inner_(std::move(inner)), applied_(applied) {}
    void apply_at(ConstMatrixView x, std::span<const Index> places, MatrixView y) const override {
      ++applied_;
      inner_->apply_at(x, places, y);
    }

   private:
    std::unique_ptr<Linear> inner_;
    std::atomic<int>& applied_;
  };
  const auto factory = [&](ModuleId id, const LinearWeights& weights) -> std::unique_ptr<Linear> {
    asked.push_back(id);
    return std::make_unique<Counting>(make_dense_linear(weights, ComputeType::kF32), applied);
  };
  const Transformer counted(model_, {.linear = factory, .keep_layers = false});
  const Matrix states = counted.hidden_states(kTokens).back();
  EXPECT_TRUE(same_bytes(states, transformer_.hidden_states(kTokens).back()));
  Matrix logits(states.rows(), 61);
  counted.logits(states, logits);
  EXPECT_EQ(applied, 3 * 7 + 1);
  EXPECT_EQ(asked.size(), 3u * 7 + 1);
  EXPECT_EQ(std::count(asked.begin(), asked.end(), ModuleId{2, Module::kDown}), 1);
  EXPECT_EQ(std::count(asked.begin(), asked.end(), ModuleId{-1, Module::kLmHead}), 1);
}

}  // namespace
}  // namespace defectoscope
