// Census, trigger, predictions and ablation find what a phantom has planted, and only that.

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "analysis/ablate.h"
#include "analysis/census.h"
#include "analysis/journal.h"
#include "analysis/predictions.h"
#include "analysis/trigger.h"
#include "base/random.h"
#include "planted_states.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {
namespace {

class PhantomProbes : public testing::TestWithParam<std::uint64_t> {
 protected:
  PhantomProbes() {
    folder_ = std::filesystem::temp_directory_path() /
              ("defectoscope-probes-" + std::to_string(getpid()) + "-" + std::to_string(GetParam()));
    std::filesystem::remove_all(folder_);
    PhantomOptions options;
    options.shape = phantom_shape_named("tiny");
    options.seed = GetParam();
    truth_ = write_phantom(options, folder_);
    model_ = std::make_unique<Model>(Model::open(folder_));
    tokenizer_ = open_tokenizer(folder_);
    transformer_ = std::make_unique<Transformer>(*model_);
  }
  ~PhantomProbes() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_;
  PhantomTruth truth_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<Transformer> transformer_;
  ScanJournal journal_;
};

TEST_P(PhantomProbes, CensusFindsThePlantedTokensAndOnlyThem) {
  const Census census =
      take_census(*transformer_, *tokenizer_, {.layers = truth_.explosion_layers}, journal_);
  std::set<std::int32_t> found, planted;
  for (const CensusEntry& entry : census.layers.at(0).spikes) found.insert(entry.id);
  for (const PlantedToken& token : truth_.spike_tokens) planted.insert(token.id);
  EXPECT_EQ(found, planted);
  // Every entry explodes as first token, whatever it is.
  EXPECT_EQ(census.layers[0].high_lone, model_->config().vocab_size);
}

TEST_P(PhantomProbes, TheLeadingVectorIsTheTriggerAndTheOnlyOneThatExplodes) {
  const Trigger trigger =
      analyse_trigger(*transformer_, *tokenizer_,
                      {.layers = truth_.explosion_layers, .direction = truth_.u, .linearize = {}}, journal_);
  ASSERT_EQ(trigger.layers.size(), truth_.explosions.size());
  for (std::size_t i = 0; i < trigger.layers.size(); ++i) {
    const TriggerLayer& layer = trigger.layers[i];
    EXPECT_LT(angle(layer.right, truth_.explosions[i].trigger), 2);
    EXPECT_EQ(layer.exploding, 1);
    EXPECT_GT(layer.first_median, 2 * std::abs(layer.second_median));
    EXPECT_GE(layer.inputs.maximiser.norm, layer.inputs.linear.norm * 0.9999);
    EXPECT_GE(layer.inputs.maximiser.norm, layer.inputs.quadratic.norm * 0.9999);
    ASSERT_TRUE(layer.inputs.maximiser.output_angle_degrees);
    EXPECT_LT(*layer.inputs.maximiser.output_angle_degrees, 3);
  }
}

TEST_P(PhantomProbes, PredictionsPointAlongTheDirectionAtTheExplosionAndNowhereElse) {
  const auto predictions =
      predict_direction(*transformer_, *tokenizer_, {.direction = truth_.u, .linearize = {}}, journal_);
  ASSERT_EQ(static_cast<Index>(predictions.size()), model_->config().layers);
  for (const LayerPredictions& layer : predictions) {
    const auto planted = [&](const std::vector<Index>& layers) {
      return std::ranges::find(layers, layer.layer) != layers.end();
    };
    if (planted(truth_.explosion_layers)) {
      EXPECT_LT(*layer.left_of_layer, 3);
      EXPECT_LT(*layer.left_of_ffn, 3);
      EXPECT_LT(*layer.maximiser, 3);
    } else if (!planted(truth_.decay_layers)) {
      EXPECT_GT(*layer.left_of_ffn, 60) << layer.layer;
      EXPECT_GT(*layer.maximiser, 60) << layer.layer;
    }
  }
}

TEST_P(PhantomProbes, RemovingTheSubspaceMakesTheMiddleLayersOrdinary) {
  Random random(1);
  std::vector<TokenIds> rows(24);
  for (TokenIds& row : rows)
    for (int t = 0; t < 24; ++t)
      row.push_back(
          static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(model_->config().vocab_size))));
  ScanJournal journal;
  const AblationResult result = ablate(*model_, *tokenizer_, rows,
                                       {.layers = truth_.explosion_layers,
                                        .direction = truth_.u,
                                        .threshold = truth_.high_norm / 3,
                                        .linearize = {},
                                        .window = 24,
                                        .sequences = 1,
                                        .sequence_tokens = 12},
                                       journal);
  ASSERT_EQ(result.runs.size(), 1 + all_ablations().size());
  for (Index layer = truth_.explosion_layers.back(); layer < truth_.decay_layers.front(); ++layer) {
    const auto at = static_cast<std::size_t>(layer);
    const double ordinary = result.runs[0].norms[at].median;
    EXPECT_GT(result.runs[0].norms[at].max, 10 * ordinary);
    for (std::size_t run = 1; run < result.runs.size(); ++run)
      EXPECT_LT(result.runs[run].norms[at].max, 4 * ordinary) << result.runs[run].name << " layer " << layer;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, PhantomProbes, testing::Values(3, 4));

}  // namespace
}  // namespace defectoscope
