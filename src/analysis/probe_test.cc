// Census, trigger and predictions on the zoo's default model.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "analysis/angle.h"
#include "analysis/census.h"
#include "analysis/embedding_draws.h"
#include "analysis/journal.h"
#include "analysis/predictions.h"
#include "analysis/trigger.h"
#include "analysis/trigger_record.h"
#include "base/error.h"
#include "base/random.h"
#include "kernels/pointwise.h"
#include "spectral/singular.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {
namespace {

constexpr const char* kZoo = DEFECTOSCOPE_SOURCE_DIR "/zoo/";

class Probe : public testing::TestWithParam<const char*> {
 protected:
  Probe()
      : model_(Model::open(std::string(kZoo) + GetParam())),
        tokenizer_(open_tokenizer(std::string(kZoo) + GetParam())),
        transformer_(model_) {}
  Model model_;
  std::unique_ptr<Tokenizer> tokenizer_;
  Transformer transformer_;
  ScanJournal journal_;
};

/// Norms of every row after one layer of a plain run; attention switched off where asked.
class PlainRun final : public Observer {
 public:
  PlainRun(Index layer_index, bool off) : layer_index_(layer_index), off_(off) {}
  bool without_attention(Index) const override { return off_; }
  void on_states(Index layer, Tap tap, const Batch&, MatrixView states) override {
    if (tap != Tap::kAfterLayer || layer != layer_index_) return;
    for (Index i = 0; i < states.rows(); ++i) norms.push_back(norm(states.row(i)));
  }
  std::vector<double> norms;

 private:
  Index layer_index_;
  bool off_;
};

TEST_P(Probe, CensusNormsAreThoseOfAnOrdinaryForwardPass) {
  const Census census = take_census(transformer_, *tokenizer_, {.layers = {1, 3}}, journal_);
  ASSERT_EQ(census.layers.size(), 2U);
  Random random(4);
  std::vector<TokenIds> alone, followed;
  for (int i = 0; i < 100; ++i) {
    alone.push_back(
        {static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(model_.config().vocab_size)))});
    // Followed by another token, so that queries and keys take part; a causal first token sees none of it.
    followed.push_back({alone.back()[0], 5});
  }
  for (const CensusLayer& layer : census.layers) {
    ASSERT_EQ(std::ssize(layer.lone), model_.config().vocab_size);
    ASSERT_EQ(std::ssize(layer.without_attention), model_.config().vocab_size);
    ASSERT_EQ(std::ssize(layer.random), model_.config().vocab_size);
    EXPECT_TRUE(std::ranges::is_sorted(layer.random));
    PlainRun lone(layer.layer - 1, false), bare(layer.layer - 1, true), first(layer.layer - 1, false);
    transformer_.run(Batch(alone), lone);
    transformer_.run(Batch(alone), bare);
    transformer_.run(Batch(followed), first);
    for (std::size_t i = 0; i < alone.size(); ++i) {
      const auto id = static_cast<std::size_t>(alone[i][0]);
      EXPECT_NEAR(layer.lone[id], lone.norms[i], 1e-6 * lone.norms[i]);
      EXPECT_NEAR(layer.without_attention[id], bare.norms[i], 1e-6 * bare.norms[i]);
      EXPECT_NEAR(layer.lone[id], first.norms[2 * i], 1e-5 * lone.norms[i]);
    }
  }
}

TEST_P(Probe, MaximiserReachesAtLeastWhatLinearAndQuadraticInputsReach) {
  for (Index layer_index = 0; layer_index < model_.config().layers; ++layer_index) {
    const LinearizedLayer layer(model_.layer(layer_index), model_.config(), {});
    const TriggerInputs inputs = find_trigger_inputs(transformer_, layer_index, layer, {}, {}, 1);
    EXPECT_GE(inputs.maximiser.norm, inputs.linear.norm * (1 - 1e-6));
    EXPECT_GE(inputs.maximiser.norm, inputs.quadratic.norm * (1 - 1e-6));
    // The real pass agrees about what is reached.
    Matrix x(1, model_.config().hidden_size), y(1, x.cols());
    const double radius = ffn_radius(layer.weights(), model_.config());
    for (Index i = 0; i < x.cols(); ++i)
      x(0, i) = static_cast<float>(radius *
                                   static_cast<double>(inputs.maximiser.input[static_cast<std::size_t>(i)]));
    transformer_.run_ffn(layer_index, x, y);
    EXPECT_NEAR(norm(y.row(0)), inputs.maximiser.norm, 1e-4 * inputs.maximiser.norm);
    EXPECT_LT(acute_angle_degrees(y.row(0), inputs.maximiser.output), 0.05);
  }
}

TEST_P(Probe, ColumnsOfVAreLapacksAndTheirNormsTheRealFfns) {
  const Trigger trigger = analyse_trigger(transformer_, *tokenizer_, {.layers = {2}}, journal_);
  ASSERT_EQ(trigger.layers.size(), 1U);
  const TriggerLayer& layer = trigger.layers[0];
  const LinearizedLayer linearized(model_.layer(1), model_.config(), {});
  const DenseSvd svd = dense_svd(form(linearized.form(LinearForm::kFfn)));
  const Index d = model_.config().hidden_size;
  ASSERT_EQ(std::ssize(layer.values), d);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_NEAR(layer.values[i], svd.values[i], 1e-6 * svd.values[0]);
  Matrix x(2, d), y(2, d);
  for (Index i = 0; i < d; ++i) {
    x(0, i) = static_cast<float>(svd.right(0, i));
    x(1, i) = -x(0, i);
  }
  transformer_.run_ffn(1, x, y);
  EXPECT_NEAR(layer.leading_norm, std::max(norm(y.row(0)), norm(y.row(1))), 1e-4 * layer.leading_norm);
  EXPECT_GE(layer.plus[0], layer.minus[0]);

  // Coefficients of an entry alone, and after the first token.
  class Before final : public Observer {
   public:
    void on_states(Index index, Tap tap, const Batch&, MatrixView states) override {
      if (index == 1 && tap == Tap::kBeforeFfn)
        last.assign(states.row(states.rows() - 1).begin(), states.row(states.rows() - 1).end());
    }
    std::vector<float> last;
  } before;
  for (const std::int32_t id : {0, 7, 500, 1023}) {
    transformer_.run(Batch(std::vector<TokenIds>{{trigger.first_token, id}}), before);
    const double second = dot(before.last, layer.right);
    EXPECT_NEAR(layer.second[static_cast<std::size_t>(id)], second, 1e-5 * norm(before.last));
    transformer_.run(Batch(std::vector<TokenIds>{{id}}), before);
    EXPECT_NEAR(layer.first[static_cast<std::size_t>(id)], dot(before.last, layer.right),
                1e-5 * norm(before.last));
  }
}

INSTANTIATE_TEST_SUITE_P(Zoo, Probe, testing::Values("llama-base", "gpt2-mini"), [](const auto& one) {
  std::string name = one.param;
  std::ranges::replace(name, '-', '_');
  return name;
});

TEST(ProbeZoo, MaximiserBeatsOrEqualsBothPredictionsInEveryLayerOfEveryModel) {
  Index models = 0;
  for (const auto& folder : std::filesystem::directory_iterator(kZoo)) {
    if (!std::filesystem::exists(folder.path() / "config.json")) continue;
    ++models;
    const Model model = Model::open(folder.path());
    const Transformer transformer(model);
    for (Index layer_index = 0; layer_index < model.config().layers; ++layer_index) {
      const LinearizedLayer layer(model.layer(layer_index), model.config(), {});
      const TriggerInputs inputs = find_trigger_inputs(transformer, layer_index, layer, {}, {}, 1);
      ASSERT_EQ(inputs.has_maximiser, model.config().experts.experts == 0) << folder.path();
      if (!inputs.has_maximiser) continue;
      EXPECT_GE(inputs.maximiser.norm, inputs.linear.norm * (1 - 1e-6)) << folder.path() << layer_index + 1;
      EXPECT_GE(inputs.maximiser.norm, inputs.quadratic.norm * (1 - 1e-6))
          << folder.path() << layer_index + 1;
    }
  }
  EXPECT_GE(models, 20);
}

class ProbeBase : public Probe {};
INSTANTIATE_TEST_SUITE_P(Zoo, ProbeBase, testing::Values("llama-base"));

TEST_P(ProbeBase, RandomEmbeddingsHaveTheTablesMeanAndSpread) {
  const EmbeddingDraws draws(transformer_, false, 3);
  const Index d = model_.config().hidden_size, vocabulary = model_.config().vocab_size, count = 4096;
  Matrix drawn(count, d);
  draws.draw(0, drawn);
  Matrix again(1, d);
  draws.draw(77, again);
  EXPECT_TRUE(std::ranges::equal(again.row(0), drawn.row(77)));
  const WeightMatrix table = model_.embedding();
  double trace_table = 0, trace_drawn = 0, mean_error = 0;
  std::vector<float> row(static_cast<std::size_t>(d));
  std::vector<double> mean(row.size()), drawn_mean(row.size()), square(row.size()), drawn_square(row.size());
  for (Index r = 0; r < vocabulary; ++r) {
    table.copy_row(r, row);
    for (std::size_t i = 0; i < row.size(); ++i) {
      mean[i] += row[i] / static_cast<double>(vocabulary);
      square[i] += static_cast<double>(row[i]) * row[i] / static_cast<double>(vocabulary);
    }
  }
  for (Index r = 0; r < count; ++r)
    for (std::size_t i = 0; i < row.size(); ++i) {
      const double value = drawn.row(r)[i];
      drawn_mean[i] += value / static_cast<double>(count);
      drawn_square[i] += value * value / static_cast<double>(count);
    }
  for (std::size_t i = 0; i < row.size(); ++i) {
    trace_table += square[i] - mean[i] * mean[i];
    trace_drawn += drawn_square[i] - drawn_mean[i] * drawn_mean[i];
    mean_error += std::pow(mean[i] - drawn_mean[i], 2);
  }
  EXPECT_NEAR(trace_drawn, trace_table, 0.05 * trace_table);
  EXPECT_LT(mean_error, 3 * trace_table / static_cast<double>(count));
}

TEST_P(ProbeBase, RandomEmbeddingsInParityAllHaveTheTablesMeanNorm) {
  const EmbeddingDraws draws(transformer_, true, 3);
  Matrix drawn(8, model_.config().hidden_size);
  draws.draw(0, drawn);
  for (Index r = 1; r < drawn.rows(); ++r) EXPECT_NEAR(norm(drawn.row(r)), norm(drawn.row(0)), 1e-5);
}

TEST_P(ProbeBase, CensusGoesOnFromItsJournal) {
  const Census whole = take_census(transformer_, *tokenizer_, {.layers = {2}}, journal_);
  const Census again = take_census(transformer_, *tokenizer_, {.layers = {2}}, journal_);
  EXPECT_EQ(whole.layers[0].lone, again.layers[0].lone);
  EXPECT_EQ(whole.layers[0].random, again.layers[0].random);
}

TEST_P(ProbeBase, LayersFinishedAreTakenFromTheJournalToTheLastBit) {
  std::vector<float> direction(static_cast<std::size_t>(model_.config().hidden_size), 0.0f);
  direction[59] = 1;
  const PredictionOptions options{.direction = direction, .linearize = {}};
  const auto whole = predict_direction(transformer_, *tokenizer_, options, journal_);
  LayerPredictions known = whole[2];
  known.left_of_ffn = 12.25;  // no computation gives it
  known.left_of_scaled_layer = std::nullopt;
  journal_.put("prediction-0003", to_record(known));
  const auto again = predict_direction(transformer_, *tokenizer_, options, journal_);
  EXPECT_EQ(again[2].left_of_ffn, 12.25);
  EXPECT_EQ(again[2].left_of_scaled_layer, std::nullopt);
  for (const std::size_t layer : {0u, 1u, 3u}) EXPECT_EQ(to_record(again[layer]), to_record(whole[layer]));

  const Trigger trigger = analyse_trigger(transformer_, *tokenizer_, {.layers = {2}}, journal_);
  TriggerLayer other = trigger.layers[0];
  other.leading_norm = 3;
  other.inputs.has_maximiser = false;
  journal_.put("trigger-0002-0", to_record(other));
  const Trigger resumed = analyse_trigger(transformer_, *tokenizer_, {.layers = {2}}, journal_);
  EXPECT_EQ(to_record(resumed.layers[0]), to_record(other));
  EXPECT_EQ(resumed.notes.size(), 1U);
}

TEST_P(ProbeBase, LayersThatTheModelLacksAndNoneAtAllAreRefused) {
  for (const std::vector<Index>& layers : {std::vector<Index>{}, {0}, {7}}) {
    try {
      take_census(transformer_, *tokenizer_, {.layers = layers}, journal_);
      FAIL() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    }
  }
  EXPECT_THROW(analyse_trigger(transformer_, *tokenizer_, {.layers = {9}}, journal_), Error);
}

TEST_P(ProbeBase, ATokenOutsideTheVocabularyIsRefusedAsFirstToken) {
  try {
    analyse_trigger(transformer_, *tokenizer_, {.layers = {2}, .first_token = 4096}, journal_);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
    EXPECT_NE(std::string(error.what()).find("4096"), std::string::npos);
  }
}

}  // namespace
}  // namespace defectoscope
