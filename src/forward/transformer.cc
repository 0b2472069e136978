#include "forward/transformer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "base/error.h"
#include "base/progress.h"
#include "forward/elementwise.h"
#include "forward/kv_cache.h"
#include "forward/transformer_parts.h"

namespace defectoscope {
namespace {

class Recorder final : public Observer {
 public:
  void on_states(Index, Tap tap, const Batch&, MatrixView states) override {
    if (tap != Tap::kEmbedding && tap != Tap::kAfterLayer) return;
    layers.emplace_back(ConstMatrixView(states));
  }
  std::vector<Matrix> layers;
};

}  // namespace

Batch::Batch(std::vector<TokenIds> tokens) : sequences(std::move(tokens)), begin{0} {
  for (const TokenIds& sequence : sequences)
    begin.push_back(begin.back() + static_cast<Index>(sequence.size()));
}

void Observer::on_states(Index, Tap, const Batch&, MatrixView) {}
void Observer::on_attention(Index, const Batch&, std::span<const float>) {}
bool Observer::without_attention(Index) const { return false; }
bool Observer::without_ffn(Index) const { return false; }
bool Observer::stop_after(Index) const { return false; }

Transformer::Parts::Parts(const Model& opened, const TransformerOptions& chosen)
    : model(opened),
      options(chosen),
      embedding(model.embedding()),
      position_embedding(model.position_embedding()),
      token_type_embedding(model.token_type_embedding()),
      embedding_norm(model.embedding_norm()),
      final_norm(model.final_norm()),
      rotary_tables(model.config()),
      blocks_(static_cast<std::size_t>(model.config().layers)) {
  const auto dense = [&](const LinearWeights& weights) {
    return weights.weight.defined() ? make_dense_linear(weights, options.compute) : nullptr;
  };
  HeadWeights head = model.head();
  project_in = dense({model.project_in(), {}});
  project_out = dense({head.project_out, {}});
  head_dense = dense(head.dense);
  head_norm = std::move(head.norm);
  if (!model.has_lm_head()) return;
  const LinearWeights last{model.lm_head(), std::move(head.bias)};
  lm_head = options.linear ? options.linear({-1, Module::kLmHead}, last) : dense(last);
}

std::shared_ptr<const Block> Transformer::Parts::block(Index layer_index) const {
  assert(layer_index >= 0 && layer_index < model.config().layers);
  const std::lock_guard lock(mutex_);
  auto& kept = blocks_[static_cast<std::size_t>(layer_index)];
  if (kept) return kept;
  auto built = std::make_shared<const Block>(model, layer_index, options);
  if (options.keep_layers) kept = built;
  return built;
}

Matrix Transformer::Parts::run(const Batch& batch, Observer& observer, std::span<KvCache> caches) const {
  const std::vector<Index> positions = positions_of(batch, caches);
  Matrix states = embed(batch, positions);
  check_finite(-1, batch, states);
  observer.on_states(-1, Tap::kEmbedding, batch, states);
  if (batch.rows() == 0) return states;
  Workspace workspace(model.config(), batch.rows());
  const RotaryRows rotary = rotary_tables.of(batch, positions);
  const RotaryRows local_rotary = rotary_tables.local(batch, positions);
  const Pass pass{batch, observer, workspace, rotary, local_rotary, caches};
  Progress progress("running the layers", model.config().layers);
  for (Index layer = 0; layer < model.config().layers; ++layer) {
    check_interrupt();
    block(layer)->forward(pass, states);
    check_finite(layer, batch, states);
    observer.on_states(layer, Tap::kAfterLayer, batch, states);
    progress.advance();
    if (observer.stop_after(layer)) break;
  }
  return states;
}

void Transformer::Parts::check_finite(Index layer_index, const Batch& batch, ConstMatrixView states) const {
  const std::optional<Place> place = find_non_finite(states);
  if (!place) return;
  const auto after = std::upper_bound(batch.begin.begin(), batch.begin.end(), place->row);
  const Index sequence = after - batch.begin.begin() - 1;
  throw_bad_input(
      {.what = layer_index < 0 ? std::string("the embedding gives NaN or infinity")
                               : fmt::format("layer {} gives NaN or infinity", layer_index + 1),
       .file = model.folder().string(),
       .expected = "finite hidden states",
       .got = fmt::format("{} at token {} of sequence {}, dimension {}", states(place->row, place->column),
                          place->row - batch.begin[static_cast<std::size_t>(sequence)] + 1, sequence + 1,
                          place->column),
       .hint = "the weights are damaged, or too large for this precision: look at them with "
               "`inspect`, or compute in f32"});
}

Transformer::Transformer(const Model& model, const TransformerOptions& options)
    : parts_(std::make_unique<Parts>(model, options)) {}
Transformer::~Transformer() = default;

const Model& Transformer::model() const { return parts_->model; }

void Transformer::run(const Batch& batch, Observer& observer) const { parts_->run(batch, observer, {}); }

void Transformer::run(const Batch& batch, Observer& observer, std::span<KvCache> caches) const {
  assert(caches.empty() || caches.size() == batch.sequences.size());
  parts_->run(batch, observer, caches);
}

Matrix Transformer::final_states(const Batch& batch) const {
  Observer nothing;
  const auto& intervention = parts_->options.intervention;
  return parts_->run(batch, intervention ? *intervention : nothing, {});
}

Matrix Transformer::run_cached(const Batch& batch, std::span<KvCache> caches) const {
  assert(caches.size() == batch.sequences.size());
  Observer nothing;
  const auto& intervention = parts_->options.intervention;
  Matrix states = parts_->run(batch, intervention ? *intervention : nothing, caches);
  for (std::size_t i = 0; i < caches.size(); ++i)
    caches[i].advance(static_cast<Index>(batch.sequences[i].size()));
  return states;
}

void Transformer::logits(ConstMatrixView states, MatrixView out) const {
  const ModelConfig& config = model().config();
  if (!parts_->lm_head) (void)model().lm_head();  // says what is missing
  Matrix normed(states.rows(), states.cols());
  apply_norm(config, parts_->final_norm, states, normed);
  if (parts_->head_dense) {
    Matrix turned(states.rows(), states.cols());
    parts_->head_dense->apply(normed, turned);
    activate(config.activation, turned);
    apply_norm(config, parts_->head_norm, turned, normed);
  }
  if (parts_->project_out) {
    Matrix narrow(states.rows(), parts_->embedding.cols);
    parts_->project_out->apply(normed, narrow);
    normed = std::move(narrow);
  }
  parts_->lm_head->apply(normed, out);
  scale(out, config.logit_scale);
  soft_cap(out, config.logit_soft_cap);
}

std::vector<Matrix> Transformer::hidden_states(const TokenIds& tokens) const {
  Recorder recorder;
  run(Batch({tokens}), recorder);
  return std::move(recorder.layers);
}

void Transformer::run_layer(Index layer_index, const Batch& batch, MatrixView states,
                            Observer& observer) const {
  if (batch.rows() == 0) return;
  const std::vector<Index> positions = positions_of(batch, {});
  Workspace workspace(model().config(), batch.rows());
  const RotaryRows rotary = parts_->rotary_tables.of(batch, positions);
  const RotaryRows local_rotary = parts_->rotary_tables.local(batch, positions);
  parts_->block(layer_index)->forward({batch, observer, workspace, rotary, local_rotary, {}}, states);
  parts_->check_finite(layer_index, batch, states);
  observer.on_states(layer_index, Tap::kAfterLayer, batch, states);
}

void Transformer::run_ffn(Index layer_index, ConstMatrixView x, MatrixView y) const {
  Workspace workspace(model().config(), x.rows());
  parts_->block(layer_index)->ffn(x, y, workspace);
}

}  // namespace defectoscope
