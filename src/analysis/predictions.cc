#include "analysis/predictions.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "analysis/angle.h"
#include "analysis/journal.h"
#include "analysis/trigger.h"
#include "analysis/trigger_record.h"
#include "base/median.h"
#include "base/progress.h"
#include "base/random.h"
#include "kernels/pointwise.h"
#include "spectral/singular.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {
namespace {

constexpr Index kEntries = 256;

/// L with A and F divided by the rms of their inputs: (I + F/b)(I + A/a), or I + A/a + F/b in parallel.
class ScaledLayer final : public LinearOperator {
 public:
  ScaledLayer(const LinearizedLayer& layer, bool parallel, double a, double b)
      : attention_(layer.form(LinearForm::kAttention)),
        ffn_(layer.form(LinearForm::kFfn)),
        parallel_(parallel),
        a_(static_cast<float>(1 / a)),
        b_(static_cast<float>(1 / b)) {}
  Index rows() const override { return ffn_.rows(); }
  Index cols() const override { return ffn_.cols(); }
  void apply(ConstMatrixView x, MatrixView y) const override {
    Matrix middle(x.rows(), x.cols()), branch(x.rows(), x.cols());
    attention_.apply(x, branch);
    combine(x, branch, a_, middle);
    ffn_.apply(parallel_ ? x : ConstMatrixView(middle), branch);
    combine(middle, branch, b_, y);
  }
  void apply_transpose(ConstMatrixView x, MatrixView y) const override {
    Matrix middle(x.rows(), x.cols()), branch(x.rows(), x.cols());
    ffn_.apply_transpose(x, branch);
    combine(x, branch, b_, middle);
    attention_.apply_transpose(parallel_ ? x : ConstMatrixView(middle), branch);
    combine(middle, branch, a_, y);
  }
  Matrix likely_right_vectors(Index count) const override { return ffn_.likely_right_vectors(count); }

 private:
  static void combine(ConstMatrixView x, const Matrix& branch, float scale, MatrixView y) {
    for (Index r = 0; r < x.rows(); ++r)
      for (Index i = 0; i < x.cols(); ++i) y(r, i) = x(r, i) + scale * branch(r, i);
  }
  const LinearOperator &attention_, &ffn_;
  bool parallel_;
  float a_, b_;
};

/// rms of the second token's stream before attention and FFN, median over sequences, each layer.
class RmsTap final : public Observer {
 public:
  void on_states(Index, Tap tap, const Batch& batch, MatrixView states) override {
    if (tap != Tap::kBeforeAttention && tap != Tap::kBeforeFfn) return;
    std::vector<double> values;
    for (std::size_t i = 0; i + 1 < batch.begin.size(); ++i)
      values.push_back(norm(states.row(batch.begin[i] + 1)) / std::sqrt(static_cast<double>(states.cols())));
    (tap == Tap::kBeforeAttention ? attention : ffn).push_back(median(std::move(values)));
  }
  std::vector<double> attention, ffn;
};

double left_angle(const LinearOperator& form, std::span<const float> direction, std::uint64_t seed) {
  SingularOptions options;
  options.seed = seed;
  return acute_angle_degrees(leading_singular(form, options).left.row(0), direction);
}

/// `attention_rms`, `ffn_rms`: of the layer's inputs.
LayerPredictions predict_from_layer(const Transformer& transformer, Index layer_index, double attention_rms,
                                    double ffn_rms, const PredictionOptions& options) {
  const Model& model = transformer.model();
  const ModelConfig& config = model.config();
  const NormPlacement placement = config.architecture->placement;
  const bool scalable = placement == NormPlacement::kPre || placement == NormPlacement::kSandwich;
  const LinearizedLayer layer(model.layer(layer_index), config, options.linearize);
  const std::uint64_t seed = Random(options.seed, static_cast<std::uint64_t>(layer_index)).next_u64();
  LayerPredictions prediction;
  prediction.layer = layer_index + 1;
  prediction.attention_input_rms = attention_rms;
  prediction.ffn_input_rms = ffn_rms;
  prediction.inputs = find_trigger_inputs(transformer, layer_index, layer, {}, options.direction, seed);
  if (!options.direction.empty()) {
    prediction.left_of_layer = left_angle(layer.form(LinearForm::kLayer), options.direction, seed);
    prediction.left_of_ffn = left_angle(layer.form(LinearForm::kFfn), options.direction, seed);
    if (scalable && prediction.attention_input_rms > 0 && prediction.ffn_input_rms > 0)
      prediction.left_of_scaled_layer =
          left_angle(ScaledLayer(layer, config.architecture->residual != ResidualForm::kSequential,
                                 prediction.attention_input_rms, prediction.ffn_input_rms),
                     options.direction, seed);
    prediction.maximiser = prediction.inputs.maximiser.output_angle_degrees;
  }
  return prediction;
}

}  // namespace

std::vector<LayerPredictions> predict_direction(const Transformer& transformer, const Tokenizer& tokenizer,
                                                const PredictionOptions& options, ScanJournal& journal) {
  const Model& model = transformer.model();
  const ModelConfig& config = model.config();
  Random random(options.seed, 0x9e3779b9);
  std::vector<TokenIds> sequences;
  const std::int32_t first = first_token_of(model, tokenizer);
  for (Index i = 0; i < kEntries; ++i)
    sequences.push_back(
        {first, static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(config.vocab_size)))});
  RmsTap rms;
  transformer.run(Batch(std::move(sequences)), rms);

  std::vector<LayerPredictions> predictions;
  Progress progress("Predicting the direction from each layer", config.layers);
  for (Index layer_index = 0; layer_index < config.layers; ++layer_index) {
    check_interrupt();
    const std::string name = fmt::format("prediction-{:04}", layer_index + 1);
    if (const auto kept = journal.get(name)) {
      predictions.push_back(predictions_from_record(*kept));
      progress.skip();
    } else {
      predictions.push_back(predict_from_layer(transformer, layer_index,
                                               rms.attention[static_cast<std::size_t>(layer_index)],
                                               rms.ffn[static_cast<std::size_t>(layer_index)], options));
      journal.put(name, to_record(predictions.back()));
      progress.advance();
    }
  }
  return predictions;
}

}  // namespace defectoscope
