// Text norms, high-norm details, directions of attention and of products, and the decay corollary.

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "analysis/angle.h"
#include "analysis/calibration_rows.h"
#include "analysis/census.h"
#include "analysis/decay_corollary.h"
#include "analysis/high_norm_detail.h"
#include "analysis/layer_directions.h"
#include "analysis/test_zoo.h"
#include "analysis/text_norms.h"
#include "base/error.h"
#include "kernels/pointwise.h"
#include "spectral/singular.h"

namespace defectoscope {
namespace {

using testing_zoo::ZooModel;

/// The states after one layer of a run in which that layer has no FFN: those before its FFN.
class WithoutFfn final : public Observer {
 public:
  explicit WithoutFfn(Index layer_index) : layer_index_(layer_index) {}
  bool without_ffn(Index layer_index) const override { return layer_index == layer_index_; }
  bool stop_after(Index layer_index) const override { return layer_index == layer_index_; }
  void on_states(Index layer_index, Tap tap, const Batch&, MatrixView states) override {
    if (layer_index != layer_index_ || tap != Tap::kAfterLayer) return;
    after = Matrix(states.rows(), states.cols());
    std::copy_n(states.data(), states.rows() * states.cols(), after.data());
  }
  Matrix after;

 private:
  Index layer_index_;
};

double distance(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::pow(double{a[i]} - b[i], 2);
  return std::sqrt(sum);
}

TEST(TextNorms, AreThoseOfTheForwardPassWithEachModuleLeftOut) {
  const ZooModel zoo("llama-base");
  const Transformer transformer(zoo.model);
  const TokenIds tokens = zoo.tokenizer->encode("A stone fell into the lake.", true);
  const TextNorms norms = text_norms(transformer, *zoo.tokenizer, tokens);
  const std::vector<Matrix> states = transformer.hidden_states(tokens);
  ASSERT_EQ(norms.landscape.norms.size(), states.size());
  ASSERT_EQ(norms.landscape.tokens.size(), tokens.size());
  EXPECT_FALSE(norms.parallel);
  for (std::size_t layer = 0; layer + 1 < states.size(); ++layer) {
    WithoutFfn observer(static_cast<Index>(layer));
    transformer.run(Batch({tokens}), observer);
    for (std::size_t t = 0; t < tokens.size(); ++t) {
      const auto row = static_cast<Index>(t);
      const std::span<const float> before = states[layer].row(row), middle = observer.after.row(row),
                                   after = states[layer + 1].row(row);
      EXPECT_NEAR(norms.landscape.norms[layer][t], norm(before), 1e-5 * norm(before));
      EXPECT_NEAR(norms.before_ffn[layer][t], norm(middle), 1e-5 * norm(middle));
      EXPECT_NEAR(norms.attention_added[layer][t], distance(middle, before), 1e-4 * norm(middle));
      EXPECT_NEAR(norms.ffn_added[layer][t], distance(after, middle), 1e-4 * norm(after));
    }
  }
}

TEST(TextNorms, OfAParallelBlockPutBothModulesIntoOne) {
  const ZooModel zoo("neox-mini");
  const Transformer transformer(zoo.model);
  const TextNorms norms = text_norms(transformer, *zoo.tokenizer, {3, 4, 5});
  EXPECT_TRUE(norms.parallel);
  for (std::size_t layer = 0; layer < norms.ffn_added.size(); ++layer)
    for (std::size_t t = 0; t < 3; ++t) {
      EXPECT_EQ(norms.attention_added[layer][t], 0);
      EXPECT_GT(norms.ffn_added[layer][t], 0);
    }
}

TEST(TextNorms, ATextWithoutTokensIsRefusedAndALongOneIsCutToTheContext) {
  const ZooModel zoo("gpt2-mini");
  const Transformer transformer(zoo.model);
  EXPECT_THROW(text_norms(transformer, *zoo.tokenizer, {}), Error);
  const Index context = zoo.model.config().max_positions;
  ASSERT_GT(context, 0);
  const TextNorms norms =
      text_norms(transformer, *zoo.tokenizer, TokenIds(static_cast<std::size_t>(context) + 3, 7));
  EXPECT_EQ(std::ssize(norms.landscape.tokens), context);
  EXPECT_EQ(norms.tokens_in_text, context + 3);
}

/// One scan of the default model for the tests that stand on it.
struct Scanned {
  ZooModel zoo{"llama-base"};
  Transformer transformer{zoo.model};
  ScanJournal journal;
  ScanResult scan = defectoscope::scan(zoo.model, *zoo.tokenizer, zoo.options, journal);
  std::vector<std::vector<TokenIds>> batches(Index tokens) {
    return calibration_batches(transformer, *zoo.tokenizer, zoo.options, scan.parameters, tokens, journal);
  }
};
Scanned& scanned() {
  static Scanned all;
  return all;
}

TEST(HighNormDetail, FindsTheStatesTheScanCounted) {
  Scanned& all = scanned();
  ScanJournal fresh;
  const HighNormDetail detail = high_norm_detail(all.transformer, all.batches(1 << 30), all.scan, fresh);
  EXPECT_EQ(detail.tokens, all.scan.calibration.tokens);
  EXPECT_EQ(std::accumulate(detail.states_by_layer.begin(), detail.states_by_layer.end(), Index{0}),
            all.scan.high_norm.count);
  EXPECT_EQ(detail.initial_states + detail.non_initial_states, all.scan.high_norm.count);
  ASSERT_TRUE(detail.initial_to_non_initial_degrees.has_value());
  EXPECT_LT(*detail.initial_to_non_initial_degrees, 15) << "they share one direction";
}

TEST(HighNormDetail, LayersAreComparedWithEachOtherAndWithTheDirection) {
  Scanned& all = scanned();
  ScanJournal fresh;
  const HighNormDetail detail = high_norm_detail(all.transformer, all.batches(2048), all.scan, fresh);
  ASSERT_EQ(std::ssize(detail.between_layers_degrees), all.scan.layers + 1);
  for (std::size_t a = 0; a < detail.between_layers_degrees.size(); ++a) {
    EXPECT_EQ(std::isnan(detail.layer_angle_degrees[a]), detail.states_by_layer[a] == 0);
    if (detail.states_by_layer[a] == 0) continue;
    EXPECT_LT(detail.between_layers_degrees[a][a], 1e-3);
    for (std::size_t b = 0; b < a; ++b) {
      if (detail.states_by_layer[b] == 0) continue;
      EXPECT_NEAR(detail.between_layers_degrees[a][b], detail.between_layers_degrees[b][a], 1e-9);
    }
  }
  const auto& direction = all.scan.high_norm.direction;
  double before = 2;
  for (const TopDimension& top : detail.top_dimensions) {
    EXPECT_EQ(top.component, direction[static_cast<std::size_t>(top.dimension)]);
    EXPECT_LE(top.share, before);
    before = top.share;
  }
}

TEST(HighNormDetail, OccurrencesOfASpikeTokenAreThoseOfTheText) {
  Scanned& all = scanned();
  const auto batches = all.batches(1 << 30);
  ScanJournal fresh;
  const HighNormDetail detail = high_norm_detail(all.transformer, batches, all.scan, fresh);
  ASSERT_FALSE(detail.occurrences.empty());
  for (const OccurrenceNorms& token : detail.occurrences) {
    Index later_positions = 0, rows_with_it = 0;
    for (const auto& rows : batches)
      for (const TokenIds& row : rows) {
        const Index here = std::count(row.begin() + 1, row.end(), token.id);
        later_positions += here;
        rows_with_it += here > 0 ? 1 : 0;
      }
    EXPECT_EQ(token.first + token.later, later_positions) << token.token;
    EXPECT_LE(token.first, rows_with_it) << token.token;
    EXPECT_GT(token.first, 0) << token.token;
  }
}

DoubleMatrix dense_of(const LinearOperator& form) {
  Matrix unit(form.cols(), form.cols()), columns(form.cols(), form.rows());
  for (Index i = 0; i < form.cols(); ++i) unit(i, i) = 1;
  form.apply(unit, columns);
  DoubleMatrix dense(form.rows(), form.cols());
  for (Index r = 0; r < form.rows(); ++r)
    for (Index c = 0; c < form.cols(); ++c) dense(r, c) = columns(c, r);
  return dense;
}

double left_angle(const DenseSvd& svd, const std::vector<float>& direction) {
  std::vector<float> left(direction.size());
  for (std::size_t i = 0; i < left.size(); ++i)
    left[i] = static_cast<float>(svd.left(0, static_cast<Index>(i)));
  return acute_angle_degrees(left, direction);
}

TEST(LayerDirections, AgreeWithLapackOnAttentionAndOnTheProductOfLayers) {
  Scanned& all = scanned();
  const auto& direction = all.scan.high_norm.direction;
  ScanJournal journal;
  const AccumulatedDirections found = layer_directions(all.zoo.model, all.zoo.options, all.scan, journal);
  ASSERT_EQ(std::ssize(found.layers), all.scan.layers);
  EXPECT_EQ(found.note, "");
  const Index d = all.scan.hidden_size;
  DoubleMatrix product(d, d);
  for (Index i = 0; i < d; ++i) product(i, i) = 1;
  for (Index index = 0; index < all.scan.layers; ++index) {
    const LayerDirections& layer = found.layers[static_cast<std::size_t>(index)];
    const LinearizedLayer linear(all.zoo.model.layer(index), all.zoo.model.config(),
                                 all.zoo.options.linearize);
    const DenseSvd attention = dense_svd(dense_of(linear.form(LinearForm::kAttention)));
    EXPECT_NEAR(layer.attention_singular_value, attention.values[0], 1e-4 * attention.values[0]);
    EXPECT_NEAR(*layer.attention_angle_degrees, left_angle(attention, direction), 0.2);
    const DoubleMatrix form = dense_of(linear.form(LinearForm::kLayer));
    DoubleMatrix next(d, d);
    for (Index r = 0; r < d; ++r)
      for (Index k = 0; k < d; ++k)
        for (Index c = 0; c < d; ++c) next(r, c) += form(r, k) * product(k, c);
    product = next;
    EXPECT_NEAR(*layer.accumulated_angle_degrees, left_angle(dense_svd(product), direction), 0.2);
  }
}

TEST(DecayCorollary, OrdinaryTokensStayOrdinaryInTheDecayLayer) {
  Scanned& all = scanned();
  const auto found = decay_corollary(all.transformer, all.batches(1).front(), all.scan);
  ASSERT_EQ(found.size(), all.scan.decay_layers.size());
  ASSERT_FALSE(found.empty());
  EXPECT_GT(found[0].states, 100);
  EXPECT_EQ(found[0].became_high, 0);
  EXPECT_LE(found[0].max_before, all.scan.high_norm.threshold);
  EXPECT_GT(found[0].median_after, 0);
}

TEST(DecayCorollary, OrdinaryTokensFedToTheExplosionLayerDoExplodeAsLoneTokensDo) {
  Scanned& all = scanned();
  ASSERT_EQ(all.scan.explosion_layers[0].layer, 1);
  ScanResult pretended = all.scan;
  pretended.decay_layers = all.scan.explosion_layers;
  const auto rows = all.batches(1).front();
  const auto found = decay_corollary(all.transformer, rows, pretended);
  ASSERT_EQ(found.size(), 1U);
  Matrix embedded = all.transformer.embed(Batch(rows));
  Index high = 0;
  const auto lone = lone_norms(all.transformer, embedded, {0}, false);
  for (const float norm : lone[0]) high += norm > all.scan.high_norm.threshold ? 1 : 0;
  EXPECT_GT(high, 0);
  EXPECT_EQ(found[0].became_high, high);
}

TEST(DefectAnalyses, AModelWithoutHighNormsGetsNothingButCounts) {
  const ZooModel zoo("llama-base-ckpt-0");
  const Transformer transformer(zoo.model);
  const ScanResult scan = zoo.scan_states();
  ASSERT_EQ(scan.high_norm.count, 0);
  const std::vector<TokenIds> rows{{1, 2, 3}, {4, 5}};
  ScanJournal fresh;
  const HighNormDetail detail = high_norm_detail(transformer, {rows}, scan, fresh);
  EXPECT_EQ(detail.rows, 2);
  EXPECT_EQ(detail.tokens, 5);
  EXPECT_TRUE(detail.states_by_layer.empty());
  EXPECT_TRUE(decay_corollary(transformer, rows, scan).empty());
  ScanJournal journal;
  for (const LayerDirections& layer : layer_directions(zoo.model, zoo.options, scan, journal).layers) {
    EXPECT_FALSE(layer.attention_angle_degrees.has_value());
    EXPECT_GT(layer.attention_singular_value, 0);
  }
}

}  // namespace
}  // namespace defectoscope
