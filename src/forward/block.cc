#include "forward/block.h"

#include <algorithm>

#include "base/parallel.h"
#include "forward/elementwise.h"
#include "forward/kv_cache.h"
#include "forward/positions.h"
#include "kernels/attention.h"
#include "kernels/rotary.h"

namespace defectoscope {
namespace {

/// From here on sequences share the threads out among themselves; below, each spreads over all threads.
constexpr std::size_t kManySequences = 8;

void copy_rows(ConstMatrixView from, MatrixView to) {
  for (Index i = 0; i < from.rows(); ++i)
    std::copy(from.row(i).begin(), from.row(i).end(), to.row(i).begin());
}

/// Tokens that see nothing but themselves: their attention is exactly 1, and no query or key matters.
bool are_alone(const Pass& pass) {
  return pass.caches.empty() && !pass.observer.wants_attention() &&
         static_cast<Index>(pass.batch.sequences.size()) == pass.batch.rows();
}

/// What a lone token's heads give: the value of the key-value head they read.
void repeat_values(const ModelConfig& config, ConstMatrixView value, MatrixView context) {
  const Index share = config.heads / config.kv_heads, dim = config.head_dim;
  for (Index i = 0; i < value.rows(); ++i)
    for (Index h = 0; h < config.heads; ++h)
      std::copy_n(&value(i, h / share * dim), dim, &context(i, h * dim));
}

}  // namespace

Block::Block(const Model& model, Index layer_index, const TransformerOptions& options)
    : config_(model.config()), layer_index_(layer_index) {
  const ArchitectureSpec& spec = *config_.architecture;
  pre_norm_ = spec.placement == NormPlacement::kPre || spec.placement == NormPlacement::kSandwich;
  output_norm_ = spec.placement == NormPlacement::kSandwich || spec.placement == NormPlacement::kOutput;
  sum_norm_ = spec.placement == NormPlacement::kPost;
  parallel_ = spec.residual != ResidualForm::kSequential;
  if (spec.position == PositionKind::kAlibi) alibi_slopes_ = make_alibi_slopes(config_.heads);
  if (spec.alibi_before_scale)
    for (float& slope : alibi_slopes_) slope *= static_cast<float>(config_.attention_scale);

  LayerWeights weights = model.layer(layer_index);
  // A family with a norm after the sum names it as it names any norm.
  if (sum_norm_ && !weights.attention_post_norm.defined())
    weights.attention_post_norm = weights.attention_norm;
  if (sum_norm_ && !weights.ffn_post_norm.defined()) weights.ffn_post_norm = weights.ffn_norm;
  if (spec.residual == ResidualForm::kParallelShared) weights.ffn_norm = weights.attention_norm;
  attention_norm_ = std::move(weights.attention_norm);
  attention_post_norm_ = std::move(weights.attention_post_norm);
  ffn_norm_ = std::move(weights.ffn_norm);
  ffn_post_norm_ = std::move(weights.ffn_post_norm);
  query_norm_ = std::move(weights.attention.query_norm);
  key_norm_ = std::move(weights.attention.key_norm);

  const auto make_of = [&](Index expert) -> MakeLinear {
    return [&, expert](Module module, const LinearWeights& linear) -> std::unique_ptr<Linear> {
      if (!linear.weight.defined()) return nullptr;
      return options.linear ? options.linear({layer_index, module, expert}, linear)
                            : make_dense_linear(linear, options.compute);
    };
  };
  const MakeLinear make = make_of(ModuleId::kNoExpert);
  const AttentionWeights& attention = weights.attention;
  if (attention.latent.defined()) {
    latent_ = std::make_unique<LatentProjections>(config_, attention, make);
  } else {
    query_ = make(Module::kQuery, attention.query);
    key_ = make(Module::kKey, attention.key);
    value_ = make(Module::kValue, attention.value);
  }
  output_ = make(Module::kAttentionOutput, attention.output);
  sinks_ = attention.sinks;
  if (weights.experts.defined())
    experts_ = std::make_unique<ExpertLayer>(config_, weights.experts, make_of);
  else
    ffn_ = std::make_unique<FeedForward>(weights.ffn, make);
}

void Block::forward(const Pass& pass, MatrixView states) const {
  Observer& observer = pass.observer;
  const Index rows = states.rows();
  const MatrixView normed = pass.workspace.normed(rows);
  // In parallel blocks attention's output waits until the FFN has read the same states.
  const MatrixView attended = parallel_ ? pass.workspace.branch(rows) : normed;
  const bool with_attention = !observer.without_attention(layer_index_);

  observer.on_states(layer_index_, Tap::kBeforeAttention, pass.batch, states);
  if (with_attention) attention(pass, states, attended);
  if (!parallel_) {
    if (with_attention) add(attended, states, config_.residual_scale);
    if (sum_norm_) apply_norm(config_, attention_post_norm_, states, states);
  }
  observer.on_states(layer_index_, Tap::kBeforeFfn, pass.batch, states);
  const bool with_ffn = !observer.without_ffn(layer_index_);
  if (with_ffn) ffn(states, normed, pass.workspace);
  if (parallel_ && with_attention) add(attended, states, config_.residual_scale);
  if (with_ffn) add(normed, states, config_.residual_scale);
  if (sum_norm_) apply_norm(config_, ffn_post_norm_, states, states);
}

void Block::attention(const Pass& pass, ConstMatrixView x, MatrixView y) const {
  const Index rows = x.rows();
  Workspace& workspace = pass.workspace;
  if (pre_norm_) apply_norm(config_, attention_norm_, x, workspace.normed(rows));
  const ConstMatrixView input = pre_norm_ ? ConstMatrixView(workspace.normed(rows)) : x;
  const MatrixView query = workspace.query(rows), key = workspace.key(rows), value = workspace.value(rows);
  if (!latent_ && sinks_.empty() && are_alone(pass)) {
    value_->apply(input, value);
    clip(value, config_.qkv_limit);
    repeat_values(config_, value, workspace.context(rows));
    output_->apply(workspace.context(rows), y);
    if (output_norm_) apply_norm(config_, attention_post_norm_, y, y);
    return;
  }
  if (latent_) {
    latent_->apply(input, query, key, value);
  } else {
    query_->apply(input, query);
    key_->apply(input, key);
    value_->apply(input, value);
  }
  for (const MatrixView& projected : {query, key, value}) clip(projected, config_.qkv_limit);
  apply_head_norm(config_, query_norm_, query);
  apply_head_norm(config_, key_norm_, key);
  if (config_.is_rotary(layer_index_)) turn(pass, rows);
  attend(pass);
  output_->apply(workspace.context(rows), y);
  if (output_norm_) apply_norm(config_, attention_post_norm_, y, y);
}

void Block::turn(const Pass& pass, Index rows) const {
  const RotaryLayout layout = config_.architecture->position == PositionKind::kRotaryHalf
                                  ? RotaryLayout::kHalf
                                  : RotaryLayout::kInterleaved;
  const auto& [table, at] = config_.window_of(layer_index_) > 0 ? pass.local_rotary : pass.rotary;
  const Index first = latent_ ? config_.head_dim - config_.rotary_dim : 0;
  rotary(pass.workspace.query(rows), config_.heads, config_.head_dim, *table, at, layout, first);
  rotary(pass.workspace.key(rows), config_.kv_heads, config_.head_dim, *table, at, layout, first);
}

void Block::attend(const Pass& pass) const {
  const auto sequences = pass.batch.sequences.size();
  std::vector<float> received(pass.observer.wants_attention() ? static_cast<std::size_t>(pass.batch.rows())
                                                              : 0);
  const auto one = [&](Index i) { attend_sequence(pass, i, received); };
  if (sequences >= kManySequences) {
    parallel_for(static_cast<Index>(sequences), one);
  } else {
    for (std::size_t i = 0; i < sequences; ++i) one(static_cast<Index>(i));
  }
  if (!received.empty()) pass.observer.on_attention(layer_index_, pass.batch, received);
}

void Block::attend_sequence(const Pass& pass, Index sequence, std::span<float> received) const {
  const auto i = static_cast<std::size_t>(sequence);
  const Index begin = pass.batch.begin[i];
  const Index count = pass.batch.begin[i + 1] - begin;
  const Index rows = pass.batch.rows();
  AttentionParameters parameters;
  parameters.heads = config_.heads;
  parameters.kv_heads = config_.kv_heads;
  parameters.head_dim = config_.head_dim;
  parameters.value_dim = config_.value_head_dim();
  parameters.scale = static_cast<float>(config_.attention_scale);
  parameters.soft_cap = static_cast<float>(config_.attention_soft_cap);
  parameters.causal = config_.causal;
  parameters.window = config_.window_of(layer_index_);
  parameters.alibi_slopes = alibi_slopes_;
  parameters.sinks = sinks_;

  const MatrixView query = pass.workspace.query(rows).block_rows(begin, count);
  const MatrixView context = pass.workspace.context(rows).block_rows(begin, count);
  MatrixView key = pass.workspace.key(rows).block_rows(begin, count);
  MatrixView value = pass.workspace.value(rows).block_rows(begin, count);
  if (!pass.caches.empty()) {
    KvCache& cache = pass.caches[i];
    parameters.offset = cache.size();
    copy_rows(key, cache.keys(layer_index_).block_rows(cache.size(), count));
    copy_rows(value, cache.values(layer_index_).block_rows(cache.size(), count));
    key = cache.keys(layer_index_).block_rows(0, cache.size() + count);
    value = cache.values(layer_index_).block_rows(0, cache.size() + count);
  }
  if (received.empty()) {
    defectoscope::attention(parameters, query, key, value, context);
    return;
  }
  const std::span<float> drawn =
      received.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count));
  defectoscope::attention(parameters, query, key, value, context, drawn);
  std::vector<Index> queries(drawn.size());
  attention_query_counts(parameters, count, queries);
  for (std::size_t j = 0; j < drawn.size(); ++j)
    drawn[j] = queries[j] == 0 ? 0 : drawn[j] / static_cast<float>(config_.heads * queries[j]);
}

void Block::ffn(ConstMatrixView x, MatrixView y, Workspace& workspace) const {
  const Index rows = x.rows();
  if (pre_norm_) apply_norm(config_, ffn_norm_, x, workspace.normed(rows));
  const ConstMatrixView input = pre_norm_ ? ConstMatrixView(workspace.normed(rows)) : x;
  if (experts_)
    experts_->apply(input, y);
  else
    ffn_->apply(config_, input, {}, workspace.up(rows), ffn_->gated() ? workspace.gate(rows) : MatrixView{},
                y);
  if (output_norm_) apply_norm(config_, ffn_post_norm_, y, y);
}

}  // namespace defectoscope
