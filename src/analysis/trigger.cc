#include "analysis/trigger.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "analysis/census.h"
#include "analysis/journal.h"
#include "analysis/trigger_record.h"
#include "base/error.h"
#include "base/median.h"
#include "base/progress.h"
#include "base/random.h"
#include "forward/kv_cache.h"
#include "kernels/pointwise.h"
#include "spectral/basis.h"
#include "spectral/lapack.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {
namespace {

constexpr Index kTriggerPiece = 2048;  // rows through the model at once
constexpr Index kFirstTokenBytes = Index{512} << 20;
constexpr Index kColumnStarts = 8;  // columns of V the maximiser starts from, beside the leading ones

/// Coefficients along v before one layer's FFN.
class CoefficientTap final : public Observer {
 public:
  CoefficientTap(Index layer_index, std::span<const float> v) : layer_index_(layer_index), v_(v) {}
  void on_states(Index layer_index, Tap tap, const Batch&, MatrixView states) override {
    if (layer_index != layer_index_ || tap != Tap::kBeforeFfn) return;
    for (Index i = 0; i < states.rows(); ++i) values.push_back(static_cast<float>(dot(states.row(i), v_)));
  }
  bool without_ffn(Index layer_index) const override { return layer_index == layer_index_; }
  bool stop_after(Index layer_index) const override { return layer_index == layer_index_; }
  std::vector<float> values;

 private:
  Index layer_index_;
  std::span<const float> v_;
};

/// Right singular vectors of F as rows, values descending.
struct RightVectors {
  std::vector<double> values;
  Matrix rows;
};

RightVectors all_right_vectors(const LinearOperator& f) {
  const Index d = f.cols();
  const DoubleMatrix columns = transposed(form(f));
  DoubleMatrix gram(d, d);
  rows_by_rows(columns, columns, gram);
  const SymmetricEigen eigen = lapack_top_symmetric(gram, d);
  RightVectors right{{}, Matrix(d, d)};
  for (Index i = 0; i < d; ++i) {
    right.values.push_back(std::sqrt(std::max(0.0, eigen.values[static_cast<std::size_t>(i)])));
    for (Index j = 0; j < d; ++j) right.rows(i, j) = static_cast<float>(eigen.vectors(i, j));
  }
  return right;
}

std::vector<float> ffn_norms(const Transformer& transformer, Index layer_index, const Matrix& rows,
                             double scale) {
  std::vector<float> norms;
  for (Index first = 0; first < rows.rows(); first += kTriggerPiece) {
    check_interrupt();
    const Index count = std::min(kTriggerPiece, rows.rows() - first);
    Matrix x(count, rows.cols()), y(count, rows.cols());
    for (Index r = 0; r < count; ++r)
      for (Index i = 0; i < x.cols(); ++i)
        x(r, i) = static_cast<float>(scale * static_cast<double>(rows(first + r, i)));
    transformer.run_ffn(layer_index, x, y);
    for (Index r = 0; r < count; ++r) norms.push_back(static_cast<float>(norm(y.row(r))));
  }
  return norms;
}

/// Figure 8: every column of V, both signs, through the real FFN.
void columns_through_ffn(const Transformer& transformer, const LinearizedLayer& linearized, double radius,
                         TriggerLayer& layer, Matrix& starts) {
  RightVectors right = all_right_vectors(linearized.form(LinearForm::kFfn));
  layer.values = std::move(right.values);
  layer.plus = ffn_norms(transformer, layer.layer - 1, right.rows, radius);
  layer.minus = ffn_norms(transformer, layer.layer - 1, right.rows, -radius);
  const auto row = right.rows.row(0);
  layer.right.assign(row.begin(), row.end());
  if (layer.minus[0] > layer.plus[0]) {
    for (float& value : layer.right) value = -value;
    std::swap(layer.plus[0], layer.minus[0]);
  }
  layer.leading_norm = layer.plus[0];
  std::vector<std::size_t> order(layer.plus.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto largest = [&](std::size_t i) { return std::max(layer.plus[i], layer.minus[i]); };
  for (std::size_t i = 1; i < order.size(); ++i)
    layer.runner_up_norm = std::max<double>(layer.runner_up_norm, largest(i));
  layer.exploding =
      std::ranges::count_if(order, [&](std::size_t i) { return 2 * largest(i) >= layer.leading_norm; });
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return largest(a) > largest(b); });
  order.resize(std::min(order.size(), static_cast<std::size_t>(kColumnStarts)));
  starts = Matrix(static_cast<Index>(order.size()), right.rows.cols());
  for (std::size_t k = 0; k < order.size(); ++k) {
    const float sign = layer.minus[order[k]] > layer.plus[order[k]] ? -1.0f : 1.0f;
    for (Index i = 0; i < starts.cols(); ++i)
      starts(static_cast<Index>(k), i) = sign * right.rows(static_cast<Index>(order[k]), i);
  }
}

/// The keys and values of the first token up to one layer, once for each sequence that may go through at
/// once.
std::vector<KvCache> first_token_caches(const Transformer& transformer, Index layer_index,
                                        std::span<const float> v, std::int32_t first_token) {
  const ModelConfig& config = transformer.model().config();
  KvCache cache(config, 2, layer_index + 1);
  CoefficientTap tap(layer_index, v);
  transformer.run(Batch(std::vector<TokenIds>{TokenIds{first_token}}), tap, {&cache, 1});
  cache.advance(1);
  const Index fitting = std::max<Index>(1, kFirstTokenBytes / KvCache::bytes(config, 2, layer_index + 1));
  return {static_cast<std::size_t>(std::min({kTriggerPiece, fitting, config.vocab_size})), cache};
}

}  // namespace

std::int32_t first_token_of(const Model& model, const Tokenizer& tokenizer) {
  if (tokenizer.start_token() >= 0) return tokenizer.start_token();
  const auto configured = model.config().bos_token;
  if (configured && *configured >= 0 && *configured < model.config().vocab_size)
    return static_cast<std::int32_t>(*configured);
  return 0;
}

std::vector<float> entry_coefficients(const Transformer& transformer, Index layer_index,
                                      std::span<const float> v, std::int32_t first_token,
                                      ScanJournal& journal) {
  const Index vocabulary = transformer.model().config().vocab_size;
  const bool second = first_token >= 0;
  // What the first token leaves to its followers is the same for all of them, unless it sees them.
  std::vector<KvCache> after_first;
  if (second && transformer.model().config().causal)
    after_first = first_token_caches(transformer, layer_index, v, first_token);
  const bool pairs = second && after_first.empty();
  const Index at_once = !after_first.empty() ? std::ssize(after_first) : kTriggerPiece / (pairs ? 2 : 1);
  std::vector<float> coefficients;
  Progress progress(second ? "Coefficients at second position" : "Coefficients at first position",
                    vocabulary);
  for (Index first = 0; first < vocabulary; first += at_once) {
    const Index count = std::min(at_once, vocabulary - first);
    const std::string name = fmt::format("coefficients-{}-{}-{:07}", layer_index + 1, first_token, first);
    std::vector<float> piece;
    if (const auto kept = journal.get(name)) {
      piece = RecordReader(*kept).list<float>();
      progress.skip(count);
    } else {
      progress.expect(count);
      std::vector<TokenIds> sequences;
      for (Index i = first; i < first + count; ++i) {
        const auto token = static_cast<std::int32_t>(i);
        sequences.push_back(pairs ? TokenIds{first_token, token} : TokenIds{token});
      }
      CoefficientTap tap(layer_index, v);
      const std::size_t cached = after_first.empty() ? 0 : sequences.size();
      transformer.run(Batch(std::move(sequences)), tap, std::span(after_first).first(cached));
      for (std::size_t i = pairs ? 1 : 0; i < tap.values.size(); i += pairs ? 2 : 1)
        piece.push_back(tap.values[i]);
      RecordWriter writer;
      writer.list(piece);
      journal.put(name, writer.bytes());
      progress.advance(count);
    }
    coefficients.insert(coefficients.end(), piece.begin(), piece.end());
  }
  return coefficients;
}

namespace {

TriggerLayer analyse_layer_trigger(const Transformer& transformer, Index number, std::int32_t first_token,
                                   const TriggerOptions& options, ScanJournal& journal) {
  const Model& model = transformer.model();
  Progress progress("layer " + std::to_string(number) + ", part", 4, StepKind::kUnlike);
  TriggerLayer layer;
  layer.layer = number;
  const LinearizedLayer linearized(model.layer(number - 1), model.config(), options.linearize);
  const double radius = ffn_radius(linearized.weights(), model.config());
  Matrix starts;
  columns_through_ffn(transformer, linearized, radius, layer, starts);
  progress.advance();
  layer.inputs = find_trigger_inputs(transformer, number - 1, linearized, starts, options.direction,
                                     Random(options.seed, static_cast<std::uint64_t>(number)).next_u64());
  progress.advance();
  layer.first = entry_coefficients(transformer, number - 1, layer.right, -1, journal);
  progress.advance();
  layer.second = entry_coefficients(transformer, number - 1, layer.right, first_token, journal);
  layer.first_median = median(layer.first);
  layer.second_median = median(layer.second);
  return layer;
}

}  // namespace

Trigger analyse_trigger(const Transformer& transformer, const Tokenizer& tokenizer,
                        const TriggerOptions& options, ScanJournal& journal) {
  const Model& model = transformer.model();
  check_layers(options.layers, model, "--layer");
  Trigger trigger;
  trigger.first_token = options.first_token >= 0 ? options.first_token : first_token_of(model, tokenizer);
  if (trigger.first_token >= model.config().vocab_size)
    throw_bad_input({.what = "the first token is not in the vocabulary",
                     .file = model.folder().string(),
                     .expected = fmt::format("an id from 0 to {}", model.config().vocab_size - 1),
                     .got = std::to_string(trigger.first_token)});
  if (trigger.first_token < tokenizer.size())
    trigger.first_token_text = readable_token(tokenizer, trigger.first_token);
  Progress progress("Finding what triggers the explosion", std::ssize(options.layers));
  for (const Index number : options.layers) {
    const std::string name = fmt::format("trigger-{:04}-{}", number, trigger.first_token);
    if (const auto kept = journal.get(name)) {
      trigger.layers.push_back(trigger_layer_from_record(*kept));
      progress.skip();
    } else {
      trigger.layers.push_back(
          analyse_layer_trigger(transformer, number, trigger.first_token, options, journal));
      journal.put(name, to_record(trigger.layers.back()));
      progress.advance();
    }
    if (!trigger.layers.back().inputs.has_maximiser)
      trigger.notes.push_back(fmt::format(
          "Layer {} has experts: F is their mean, weighted as the router chooses on average, and the norms "
          "are "
          "those of the experts it really chooses. A maximiser is not sought, since the function to climb "
          "changes with the experts that answer.",
          number));
  }
  return trigger;
}

}  // namespace defectoscope
