#include "model/tensor_plan.h"

#include <algorithm>

#include "checkpoint/checkpoint.h"

namespace defectoscope {
namespace {

constexpr std::string_view kLayer = "{}";
constexpr std::string_view kHead = "{head}";
constexpr std::string_view kWeightEnding = ".weight";

class Planner {
 public:
  Planner(const ModelConfig& config, std::string_view prefix, std::size_t spelling, bool parted = false)
      : config_(config),
        parted_(parted),
        row_(*config.architecture),
        names_(row_.names),
        spelling_(row_.experts.spellings.empty() ? nullptr : &row_.experts.spellings.at(spelling)),
        prefix_(prefix) {}

  std::vector<TensorSlot> plan() {
    const Index d = config_.hidden_size;
    const Index e = config_.embedding_size;
    slot(names_.embedding, {config_.vocab_size, e}, true);
    slot(names_.position_embedding, {config_.position_rows(), d}, true);
    slot(names_.token_type_embedding, {config_.token_types, d}, true);
    if (e != d) slot(names_.project_in, {d, e}, true);
    norm(names_.embedding_norm, d);
    for (layer_ = 0; layer_ < config_.layers; ++layer_) {
      norm(names_.attention_norm, d);
      attention();
      norm(names_.attention_post_norm, d);
      norm(names_.ffn_norm, d);
      if (config_.experts.in_layer(layer_))
        experts();
      else
        ffn();
      norm(names_.ffn_post_norm, d);
    }
    norm(names_.final_norm, d);
    if (e != d) slot(names_.project_out, {e, d}, true);
    head();
    return std::move(slots_);
  }

 private:
  /// What follows the final norm. A checkpoint without the whole model's prefix is a bare body, which is
  /// saved without a head; one with it must have the head where embeddings are not tied.
  void head() {
    const Index d = config_.hidden_size, e = config_.embedding_size;
    const bool whole = prefix_ == names_.prefixes.front();
    const auto optional = [&](std::string_view name, std::vector<Index> shape, bool required) {
      if (!name.empty()) slots_.push_back({std::string(name), std::move(shape), required});
    };
    // Bodies saved from other tasks keep the prefix: the parts before the head are there or are not.
    if (!names_.head_dense.empty()) {
      optional(names_.head_dense, {d, d}, false);
      optional(bias_name(names_.head_dense), {d}, false);
      optional(names_.head_norm, {d}, false);
      optional(bias_name(names_.head_norm), {d}, false);
    }
    if (!config_.tied_embeddings) optional(names_.lm_head, {config_.vocab_size, e}, whole);
    if (!names_.lm_head_bias.empty())
      optional(names_.lm_head_bias, {config_.vocab_size}, false);
    else if (!config_.tied_embeddings && !names_.lm_head.empty())
      optional(bias_name(names_.lm_head), {config_.vocab_size}, false);
  }

  void slot(std::string_view pattern, std::vector<Index> shape, bool required) {
    if (!pattern.empty())
      slots_.push_back({tensor_name(prefix_, pattern, layer_), std::move(shape), required});
  }
  void bias(std::string_view pattern, Index size, bool required) {
    if (pattern.ends_with(kWeightEnding)) slot(bias_name(pattern), {size}, required);
  }
  void norm(std::string_view pattern, Index size) {
    norm(pattern, size, row_.biases.norm == BiasRule::kRequired);
  }
  void norm(std::string_view pattern, Index size, bool bias_required) {
    if (pattern.empty() || !row_.norm_weights) return;
    slot(pattern, {size}, true);
    bias(pattern, size, bias_required);
  }
  void linear(std::string_view pattern, Index out, Index in, bool bias_required) {
    if (pattern.empty()) return;
    slot(pattern, row_.transposed_weights ? std::vector{in, out} : std::vector{out, in}, true);
    bias(pattern, out, bias_required);
  }

  void head_norm(std::string_view pattern, Index heads) {
    switch (config_.qk_norm) {
      case QkNorm::kNone:
        return;
      case QkNorm::kPerHead:
        return norm(pattern, config_.head_dim, false);
      case QkNorm::kWholeWidth:
        return norm(pattern, heads * config_.head_dim, false);
      case QkNorm::kOwnPerHead:
        if (pattern.find(kHead) == pattern.npos) return slot(pattern, {heads, config_.head_dim}, true);
        for (Index head = 0; head < heads; ++head) norm(of_head(pattern, head), config_.head_dim, false);
    }
  }

  void attention() {
    const Index d = config_.hidden_size;
    const bool required = config_.qkv_bias_required;
    if (row_.latent_attention) {
      latent_attention();
      return;
    }
    if (row_.qkv == QkvLayout::kSeparate) {
      linear(names_.query, config_.query_size(), d, required);
      linear(names_.key, config_.kv_size(), d, required);
      linear(names_.value, config_.kv_size(), d, required);
    } else {
      linear(names_.fused_qkv, config_.query_size() + 2 * config_.kv_size(), d, required);
    }
    head_norm(names_.query_norm, config_.heads);
    head_norm(names_.key_norm, config_.kv_heads);
    slot(names_.sinks, {config_.heads}, true);
    linear(names_.attention_output, d, config_.context_size(), config_.attention_output_bias_required);
  }

  void latent_attention() {
    const Index d = config_.hidden_size;
    const bool required = config_.qkv_bias_required;
    if (config_.query_latent > 0) {
      linear(names_.query_latent, config_.query_latent, d, required);
      norm(names_.query_latent_norm, config_.query_latent);
      linear(names_.query_expand, config_.query_size(), config_.query_latent, false);
    } else {
      linear(names_.query, config_.query_size(), d, false);
    }
    const Index heads = config_.heads, key = config_.head_dim - config_.rotary_dim;
    const Index value = config_.value_head_dim();
    linear(names_.kv_latent, config_.kv_latent + config_.rotary_dim, d, required);
    norm(names_.kv_latent_norm, config_.kv_latent);
    if (parted_) {
      slot(names_.key_expand, {heads, config_.kv_latent, key}, true);
      slot(names_.value_expand, {heads, value, config_.kv_latent}, true);
    } else {
      linear(names_.kv_expand, heads * (key + value), config_.kv_latent, false);
    }
    linear(names_.attention_output, d, config_.context_size(), config_.attention_output_bias_required);
  }

  void ffn() {
    const Index d = config_.hidden_size;
    const bool required = config_.ffn_bias_required;
    if (row_.ffn == FfnForm::kGated) linear(names_.gate, config_.ffn_size, d, required);
    linear(names_.up, config_.ffn_size * (row_.ffn == FfnForm::kFusedGated ? 2 : 1), d, required);
    linear(names_.down, d, config_.ffn_size, required);
  }

  void expert_slot(std::string_view pattern, Index expert, const std::vector<Index>& shape) {
    const std::string name = expert_tensor_name(prefix_, pattern, layer_, expert);
    slots_.push_back({name, shape, true});
    if (spelling_->biases) slots_.push_back({bias_name(name), {shape.front()}, true});
  }

  void experts() {
    const Index d = config_.hidden_size, count = config_.experts.experts, ffn = config_.experts.ffn_size;
    const ExpertNames& names = *spelling_;
    linear(names.router, count, d, false);
    slot(names.selection_bias, {count}, true);
    if (!names.packed_down.empty()) {
      using Shape = std::vector<Index>;
      slot(names.packed_gate_up,
           names.packed_transposed ? Shape{count, d, 2 * ffn} : Shape{count, 2 * ffn, d}, true);
      slot(names.packed_gate_up_bias, {count, 2 * ffn}, true);
      slot(names.packed_down, names.packed_transposed ? Shape{count, ffn, d} : Shape{count, d, ffn}, true);
      slot(names.packed_down_bias, {count, d}, true);
    }
    for (Index expert = 0; names.packed_down.empty() && expert < count; ++expert) {
      expert_slot(names.gate, expert, {ffn, d});
      expert_slot(names.up, expert, {ffn, d});
      expert_slot(names.down, expert, {d, ffn});
    }
    const Index shared = config_.experts.shared_ffn_size;
    if (shared == 0) return;
    linear(names.shared_gate, shared, d, false);
    linear(names.shared_up, shared, d, false);
    linear(names.shared_down, d, shared, false);
    linear(names.shared_switch, 1, d, false);
  }

  const ModelConfig& config_;
  bool parted_;  ///< keys and values of latent attention apart
  const ArchitectureSpec& row_;
  const TensorNames& names_;
  const ExpertNames* spelling_;
  std::string_view prefix_;
  Index layer_ = 0;
  std::vector<TensorSlot> slots_;
};

/// Whether `name` is `pattern` with some number in place of {}.
bool matches(std::string_view pattern, std::string_view name) {
  const std::size_t place = pattern.find(kLayer);
  if (place == pattern.npos) return name == pattern;
  const std::string_view head = pattern.substr(0, place);
  const std::string_view tail = pattern.substr(place + kLayer.size());
  if (name.size() <= head.size() + tail.size() || !name.starts_with(head) || !name.ends_with(tail))
    return false;
  const std::string_view number = name.substr(head.size(), name.size() - head.size() - tail.size());
  return std::ranges::all_of(number, [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::vector<TensorSlot> tensor_plan(const ModelConfig& config, std::string_view prefix,
                                    std::size_t spelling) {
  return Planner(config, prefix, spelling).plan();
}

std::size_t find_spelling(const ModelConfig& config, std::string_view prefix, const Checkpoint& checkpoint) {
  const std::vector<bool>& sparse = config.experts.layer_is_sparse;
  const Index layer = std::ranges::find(sparse, true) - sparse.begin();
  const std::vector<ExpertNames>& spellings = config.architecture->experts.spellings;
  for (std::size_t i = 0; i < spellings.size(); ++i) {
    const std::string_view down =
        spellings[i].packed_down.empty() ? spellings[i].down : spellings[i].packed_down;
    if (checkpoint.describe(expert_tensor_name(prefix, down, layer, 0))) return i;
  }
  return 0;
}

bool has_parted_latents(const ArchitectureSpec& row, std::string_view prefix, const Checkpoint& checkpoint) {
  const std::string_view name = row.names.key_expand;
  return !name.empty() && checkpoint.describe(tensor_name(prefix, name)).has_value();
}

std::vector<TensorSlot> tensor_plan(const ModelConfig& config, std::string_view prefix,
                                    const Checkpoint& checkpoint) {
  const bool parted = has_parted_latents(*config.architecture, prefix, checkpoint);
  std::vector<TensorSlot> slots =
      Planner(config, prefix, find_spelling(config, prefix, checkpoint), parted).plan();
  for (TensorSlot& slot : slots) slot.name = stored_name(*config.architecture, checkpoint, slot.name);
  return slots;
}

std::string stored_name(const ArchitectureSpec& row, const Checkpoint& checkpoint, std::string_view name) {
  for (const TensorNames::Spelling& spelling : row.names.spellings) {
    if (!name.ends_with(spelling.usual) || checkpoint.describe(name)) continue;
    std::string other(name.substr(0, name.size() - spelling.usual.size()));
    other += spelling.other;
    if (checkpoint.describe(other)) return other;
  }
  return std::string(name);
}

std::string_view find_prefix(const ArchitectureSpec& row, const Checkpoint& checkpoint) {
  for (const std::string_view prefix : row.names.prefixes)
    if (checkpoint.describe(tensor_name(prefix, row.names.embedding))) return prefix;
  return row.names.prefixes.front();
}

std::string tensor_name(std::string_view prefix, std::string_view pattern, Index layer_index) {
  std::string name(prefix);
  name += pattern;
  const std::size_t place = name.find(kLayer);
  if (place != name.npos) name.replace(place, kLayer.size(), std::to_string(layer_index));
  return name;
}

std::string expert_tensor_name(std::string_view prefix, std::string_view pattern, Index layer_index,
                               Index expert) {
  return tensor_name(tensor_name(prefix, pattern, layer_index), "", expert);
}

std::string of_head(std::string_view pattern, Index head) {
  std::string name(pattern);
  name.replace(name.find(kHead), kHead.size(), std::to_string(head));
  return name;
}

std::string bias_name(std::string_view weight_name) {
  std::string name(weight_name);
  if (name.ends_with(kWeightEnding)) name.resize(name.size() - kWeightEnding.size());
  return name + ".bias";
}

bool is_ignored(const ModelConfig& config, std::string_view prefix, std::string_view name) {
  const TensorNames& names = config.architecture->names;
  // A tied head's copy, in families whose head has a bias of its own both copies.
  if (config.tied_embeddings &&
      (name == names.lm_head || (!names.lm_head_bias.empty() && name == bias_name(names.lm_head))))
    return true;
  if (!name.starts_with(prefix)) return false;
  name.remove_prefix(prefix.size());
  return std::ranges::any_of(names.ignored, [&](std::string_view pattern) { return matches(pattern, name); });
}

}  // namespace defectoscope
