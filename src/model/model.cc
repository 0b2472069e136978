#include "model/model.h"

#include <cmath>
#include <cstdint>

#include "base/error.h"
#include "checkpoint/checkpoint.h"
#include "model/fused_split.h"
#include "model/model_files.h"
#include "model/tensor_plan.h"

namespace defectoscope {
namespace {

/// The tensor itself, or a copy where old files placed it off its type's alignment.
Tensor aligned(Tensor tensor) {
  if (reinterpret_cast<std::uintptr_t>(tensor.data) % static_cast<std::uintptr_t>(dtype_size(tensor.dtype)) ==
      0)
    return tensor;
  const auto copy = std::make_shared<std::vector<std::byte>>(tensor.data, tensor.data + tensor.bytes());
  tensor.data = copy->data();
  tensor.owner = copy;
  return tensor;
}

void check_slot(const TensorSlot& slot, const Checkpoint& checkpoint, const std::string& folder) {
  const std::optional<Tensor> tensor = checkpoint.describe(slot.name);
  if (!tensor) {
    if (!slot.required) return;
    throw_bad_input(
        {.what = "tensor missing",
         .file = folder,
         .tensor = slot.name,
         .expected = shape_text(slot.shape),
         .got = "none of that name",
         .hint = "`defectoscope inspect` lists all that is missing and unknown; config.json and weights "
                 "may be of different models"});
  }
  const std::string file = checkpoint.file_of(slot.name).string();
  if (tensor->shape != slot.shape)
    throw_bad_input({.what = "tensor has another shape than config.json implies",
                     .file = file,
                     .tensor = slot.name,
                     .expected = shape_text(slot.shape),
                     .got = tensor->shape_text(),
                     .hint = "config.json and weights may be of different models"});
  if (!is_float_compute(tensor->dtype))
    throw_bad_input({.what = "tensor dtype not supported",
                     .file = file,
                     .tensor = slot.name,
                     .expected = "f32, f16 or bf16",
                     .got = std::string(dtype_name(tensor->dtype)),
                     .hint = "take the model's unquantized version"});
}

}  // namespace

Model Model::open(const std::filesystem::path& path, const OpenOptions& options) {
  ModelFiles files = open_model_files(path, options);
  return {std::move(files.config), std::move(files.checkpoint), path};
}

Model::Model(ModelConfig config, std::shared_ptr<const Checkpoint> checkpoint, std::filesystem::path folder)
    : config_(std::move(config)),
      checkpoint_(std::move(checkpoint)),
      folder_(std::move(folder)),
      prefix_(find_prefix(*config_.architecture, *checkpoint_)),
      spelling_(find_spelling(config_, prefix_, *checkpoint_)) {
  for (const TensorSlot& slot : tensor_plan(config_, prefix_, *checkpoint_))
    check_slot(slot, *checkpoint_, folder_.string());
}

std::string Model::name() const {
  std::filesystem::path path = std::filesystem::absolute(folder_).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();  // "models/x/"
  return path.filename().string();
}

Tensor Model::find(std::string_view name) const {
  const std::optional<Tensor> tensor =
      checkpoint_->find(stored_name(*config_.architecture, *checkpoint_, name));
  return tensor ? aligned(*tensor) : Tensor{};
}

std::vector<float> Model::vector(const std::string& name) const {
  const Tensor tensor = find(name);
  if (!tensor.defined()) return {};
  std::vector<float> values = to_f32(tensor);
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]))
      throw_bad_input({.what = "weight is not finite",
                       .file = checkpoint_->file_of(tensor.name).string(),
                       .tensor = tensor.name,
                       .expected = "finite numbers",
                       .got = std::to_string(values[i]) + " at [" + std::to_string(i) + "]",
                       .hint = "the checkpoint is damaged, or was saved from a diverged training run"});
  return values;
}

NormWeights Model::norm(std::string_view pattern, Index layer_index) const {
  if (pattern.empty()) return {};
  if (!config_.architecture->norm_weights)
    return {std::vector<float>(static_cast<std::size_t>(config_.hidden_size), 1.0f), {}};
  const std::string name = tensor_name(prefix_, pattern, layer_index);
  NormWeights norm{vector(name), vector(bias_name(name))};
  for (float& gain : norm.gain) gain += static_cast<float>(config_.norm_gain_offset);
  return norm;
}

NormWeights Model::head_norm(std::string_view pattern, Index layer_index, Index heads) const {
  if (config_.qk_norm == QkNorm::kNone) return {};
  if (pattern.find("{head}") == pattern.npos) return norm(pattern, layer_index);
  NormWeights all;
  for (Index head = 0; head < heads; ++head) {
    const NormWeights one = norm(of_head(pattern, head), layer_index);
    all.gain.insert(all.gain.end(), one.gain.begin(), one.gain.end());
    all.shift.insert(all.shift.end(), one.shift.begin(), one.shift.end());
  }
  return all;
}

LinearWeights Model::linear(std::string_view pattern, Index layer_index) const {
  if (pattern.empty()) return {};
  const std::string name = tensor_name(prefix_, pattern, layer_index);
  const WeightMatrix stored = as_weight_matrix(find(name));
  return {config_.architecture->transposed_weights ? transposed(stored) : stored, vector(bias_name(name))};
}

LayerWeights Model::layer(Index layer_index) const {
  assert(layer_index >= 0 && layer_index < config_.layers);
  const ArchitectureSpec& row = *config_.architecture;
  const TensorNames& names = row.names;
  LayerWeights layer;
  layer.attention_norm = norm(names.attention_norm, layer_index);
  layer.attention_post_norm = norm(names.attention_post_norm, layer_index);
  layer.ffn_norm = norm(names.ffn_norm, layer_index);
  layer.ffn_post_norm = norm(names.ffn_post_norm, layer_index);

  layer.attention = row.latent_attention ? latent_attention(layer_index) : attention(layer_index);
  if (config_.experts.in_layer(layer_index))
    layer.experts = experts(layer_index);
  else
    layer.ffn = ffn(layer_index);
  return layer;
}

AttentionWeights Model::attention(Index layer_index) const {
  const TensorNames& names = config_.architecture->names;
  AttentionWeights attention;
  if (config_.architecture->qkv == QkvLayout::kSeparate) {
    attention.query = linear(names.query, layer_index);
    attention.key = linear(names.key, layer_index);
    attention.value = linear(names.value, layer_index);
  } else {
    split_qkv(linear(names.fused_qkv, layer_index), config_, attention);
  }
  attention.query_norm = head_norm(names.query_norm, layer_index, config_.heads);
  attention.key_norm = head_norm(names.key_norm, layer_index, config_.kv_heads);
  attention.output = linear(names.attention_output, layer_index);
  if (!names.sinks.empty()) attention.sinks = vector(tensor_name(prefix_, names.sinks, layer_index));
  return attention;
}

AttentionWeights Model::latent_attention(Index layer_index) const {
  const TensorNames& names = config_.architecture->names;
  AttentionWeights attention;
  if (config_.query_latent > 0) {
    attention.latent.query = linear(names.query_latent, layer_index);
    attention.latent.query_norm = norm(names.query_latent_norm, layer_index);
    attention.query = linear(names.query_expand, layer_index);
  } else {
    attention.query = linear(names.query, layer_index);
  }
  split_kv_latent(linear(names.kv_latent, layer_index), config_, attention.latent);
  attention.latent.kv_norm = norm(names.kv_latent_norm, layer_index);
  if (has_parted_latents(*config_.architecture, prefix_, *checkpoint_))
    join_parted_latents(find(tensor_name(prefix_, names.key_expand, layer_index)),
                        find(tensor_name(prefix_, names.value_expand, layer_index)), attention);
  else
    split_kv_expand(linear(names.kv_expand, layer_index), config_, attention);
  attention.output = linear(names.attention_output, layer_index);
  return attention;
}

FfnWeights Model::ffn(Index layer_index) const {
  const ArchitectureSpec& row = *config_.architecture;
  const TensorNames& names = row.names;
  FfnWeights ffn;
  ffn.up = linear(names.up, layer_index);
  if (row.ffn == FfnForm::kGated) ffn.gate = linear(names.gate, layer_index);
  if (row.ffn == FfnForm::kFusedGated) split_gate_up(ffn.up, ffn);
  ffn.down = linear(names.down, layer_index);
  return ffn;
}

WeightMatrix Model::table(std::string_view pattern) const {
  return pattern.empty() ? WeightMatrix{} : as_weight_matrix(find(tensor_name(prefix_, pattern)));
}

WeightMatrix Model::embedding() const { return table(config_.architecture->names.embedding); }

WeightMatrix Model::position_embedding() const {
  return table(config_.architecture->names.position_embedding);
}

WeightMatrix Model::token_type_embedding() const {
  return table(config_.architecture->names.token_type_embedding);
}

WeightMatrix Model::project_in() const {
  const bool narrow = config_.embedding_size != config_.hidden_size;
  return narrow ? table(config_.architecture->names.project_in) : WeightMatrix{};
}

NormWeights Model::embedding_norm() const { return norm(config_.architecture->names.embedding_norm, 0); }

NormWeights Model::final_norm() const { return norm(config_.architecture->names.final_norm, 0); }

bool Model::has_lm_head() const {
  const std::string_view name = config_.architecture->names.lm_head;
  return config_.tied_embeddings || name.empty() || find(name).defined();
}

WeightMatrix Model::lm_head() const {
  const std::string_view name = config_.architecture->names.lm_head;
  if (config_.tied_embeddings || name.empty()) return embedding();
  const Tensor head = find(name);
  if (!head.defined())
    throw_bad_input({.what = "the checkpoint has no LM head: it holds a model's body alone",
                     .file = folder_.string(),
                     .tensor = std::string(name),
                     .expected = shape_text(std::vector{config_.vocab_size, config_.embedding_size}),
                     .got = "none of that name",
                     .hint = "take the checkpoint of the whole language model"});
  return as_weight_matrix(head);
}

HeadWeights Model::head() const {
  const TensorNames& names = config_.architecture->names;
  HeadWeights head;
  if (config_.embedding_size != config_.hidden_size) head.project_out = table(names.project_out);
  if (!names.head_dense.empty() && find(names.head_dense).defined()) {
    head.dense = {as_weight_matrix(find(names.head_dense)), vector(bias_name(names.head_dense))};
    const std::string norm_name(names.head_norm);
    head.norm = {vector(norm_name), vector(bias_name(norm_name))};
  }
  if (!names.lm_head_bias.empty())
    head.bias = vector(std::string(names.lm_head_bias));
  else if (!config_.tied_embeddings && !names.lm_head.empty())
    head.bias = vector(bias_name(names.lm_head));
  return head;
}

}  // namespace defectoscope
