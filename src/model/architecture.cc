#include "model/architecture.h"

#include <algorithm>

namespace defectoscope {
namespace {

TensorNames llama_names() {
  return {.prefixes = {"model.", ""},
          .embedding = "embed_tokens.weight",
          .attention_norm = "layers.{}.input_layernorm.weight",
          .query = "layers.{}.self_attn.q_proj.weight",
          .key = "layers.{}.self_attn.k_proj.weight",
          .value = "layers.{}.self_attn.v_proj.weight",
          .attention_output = "layers.{}.self_attn.o_proj.weight",
          .ffn_norm = "layers.{}.post_attention_layernorm.weight",
          .gate = "layers.{}.mlp.gate_proj.weight",
          .up = "layers.{}.mlp.up_proj.weight",
          .down = "layers.{}.mlp.down_proj.weight",
          .final_norm = "norm.weight",
          .lm_head = "lm_head.weight",
          .ignored = {"layers.{}.self_attn.rotary_emb.inv_freq"}};
}

ArchitectureSpec llama() {
  return {.name = "llama",
          .model_types = {"llama"},
          .biases = {.attention_key = "attention_bias", .ffn_key = "mlp_bias"},
          .names = llama_names()};
}

ArchitectureSpec mistral() {
  return {.name = "mistral",
          .model_types = {"mistral"},
          .default_kv_heads = 8,
          .window = WindowRule::kEveryLayer,
          .default_window = 4096,
          .names = llama_names()};
}

ArchitectureSpec qwen2() {
  return {.name = "qwen2",
          .model_types = {"qwen2"},
          .window = WindowRule::kSwitchedLayers,
          .default_window = 4096,
          .biases = {.qkv = BiasRule::kRequired},
          .names = llama_names()};
}

ArchitectureSpec gpt2() {
  constexpr BiasRule kRequired = BiasRule::kRequired;
  ArchitectureSpec spec{.name = "gpt2",
                        .model_types = {"gpt2"},
                        .norm = NormKind::kLayerNorm,
                        .position = PositionKind::kLearned,
                        .qkv = QkvLayout::kFusedBlocks,
                        .ffn = FfnForm::kPlain,
                        .transposed_weights = true,
                        .tied_by_default = true,
                        .default_norm_eps = 1e-5,
                        .ffn_factor = 4,
                        .default_activation = "gelu_new",
                        .biases = {kRequired, kRequired, kRequired, kRequired},
                        .fixed = {{"scale_attn_weights", "true"},
                                  {"scale_attn_by_inverse_layer_idx", "false"},
                                  {"add_cross_attention", "false"}},
                        .names = {.prefixes = {"transformer.", ""},
                                  .embedding = "wte.weight",
                                  .position_embedding = "wpe.weight",
                                  .attention_norm = "h.{}.ln_1.weight",
                                  .fused_qkv = "h.{}.attn.c_attn.weight",
                                  .attention_output = "h.{}.attn.c_proj.weight",
                                  .ffn_norm = "h.{}.ln_2.weight",
                                  .up = "h.{}.mlp.c_fc.weight",
                                  .down = "h.{}.mlp.c_proj.weight",
                                  .final_norm = "ln_f.weight",
                                  .lm_head = "lm_head.weight",
                                  .ignored = {"h.{}.attn.bias", "h.{}.attn.masked_bias"}}};
  spec.keys.hidden_size = {"n_embd", "hidden_size"};
  spec.keys.layers = {"n_layer", "num_hidden_layers"};
  spec.keys.heads = {"n_head", "num_attention_heads"};
  spec.keys.ffn_size = {"n_inner"};
  spec.keys.max_positions = {"n_positions", "n_ctx", "max_position_embeddings"};
  return spec;
}

const std::vector<ArchitectureSpec>& rows() {
  static const std::vector<ArchitectureSpec> kRows = {llama(), mistral(), qwen2(), gpt2()};
  return kRows;
}

}  // namespace

std::span<const ArchitectureSpec> architectures() { return rows(); }

const ArchitectureSpec* find_architecture(std::string_view model_type) {
  for (const ArchitectureSpec& row : rows())
    if (std::ranges::find(row.model_types, model_type) != row.model_types.end()) return &row;
  return nullptr;
}

std::string known_model_types() {
  std::string list;
  for (const ArchitectureSpec& row : rows())
    for (const std::string_view type : row.model_types)
      list += (list.empty() ? "" : ", ") + std::string(type);
  return list;
}

}  // namespace defectoscope
