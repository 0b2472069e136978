#include "model/families/families.h"

// LLaMA's names, and norms of what attention and FFN give: besides those before them, or instead.

namespace defectoscope {
namespace {

ArchitectureSpec gemma() {
  ArchitectureSpec row{.name = "gemma",
                       .model_types = {"gemma"},
                       .norm_gain_offset = 1,
                       .embedding_times_root_width = true,
                       .tied_by_default = true,
                       .default_head_dim = 256,
                       .default_activation = "gelu_pytorch_tanh",
                       .biases = {.attention_key = "attention_bias"},
                       .names = llama_names()};
  // The first files say hidden_act gelu and mean the other one.
  row.keys.activation = {"hidden_activation"};
  row.gguf = {.architecture = "gemma"};
  return row;
}

ArchitectureSpec gemma2() {
  ArchitectureSpec row = gemma();
  row.name = "gemma2";
  row.model_types = {"gemma2"};
  row.placement = NormPlacement::kSandwich;
  row.names.attention_post_norm = "layers.{}.post_attention_layernorm.weight";
  row.names.ffn_norm = "layers.{}.pre_feedforward_layernorm.weight";
  row.names.ffn_post_norm = "layers.{}.post_feedforward_layernorm.weight";
  row.window = WindowRule::kPattern;
  row.default_window = 4096;
  row.default_window_pattern = 2;
  row.scales = {.attention_root = "query_pre_attn_scalar",
                .attention_soft_cap = "attn_logit_softcapping",
                .logit_soft_cap = "final_logit_softcapping"};
  row.gguf = {.architecture = "gemma2", .root_by_width_layers = 46};
  return row;
}

ArchitectureSpec gemma3() {
  ArchitectureSpec row = gemma2();
  row.name = "gemma3";
  row.model_types = {"gemma3_text"};
  row.qk_norm = QkNorm::kPerHead;
  row.names.query_norm = "layers.{}.self_attn.q_norm.weight";
  row.names.key_norm = "layers.{}.self_attn.k_norm.weight";
  row.default_window_pattern = 6;
  row.default_rope_base = 1e6;
  row.default_local_rope_base = 1e4;
  row.default_max_positions = 131072;
  row.fixed = {{"use_bidirectional_attention", "false"}};
  row.keys.window_pattern = {"sliding_window_pattern", "_sliding_window_pattern"};
  row.gguf = {.architecture = "gemma3",
              .settings = {{"rope.freq_base_swa", "rope_local_base_freq"}},
              .root_by_width_layers = 62};
  return row;
}

ArchitectureSpec olmo2() {
  ArchitectureSpec row{.name = "olmo2",
                       .model_types = {"olmo2"},
                       .placement = NormPlacement::kOutput,
                       .qk_norm = QkNorm::kWholeWidth,
                       .default_norm_eps = 1e-5,
                       .biases = {.attention_key = "attention_bias"},
                       .names = llama_names()};
  row.names.attention_norm = row.names.ffn_norm = {};
  row.names.attention_post_norm = "layers.{}.post_attention_layernorm.weight";
  row.names.ffn_post_norm = "layers.{}.post_feedforward_layernorm.weight";
  row.names.query_norm = "layers.{}.self_attn.q_norm.weight";
  row.names.key_norm = "layers.{}.self_attn.k_norm.weight";
  row.gguf = {.architecture = "olmo2"};
  return row;
}

ArchitectureSpec exaone4() {
  ArchitectureSpec row = olmo2();
  row.name = "exaone4";
  row.model_types = {"exaone4"};
  row.qk_norm = QkNorm::kPerHead;
  row.biases = {};
  row.rotary = RotaryRule::kWindowedLayers;
  row.window = WindowRule::kPattern;
  row.gguf = {.architecture = "exaone4"};
  return row;
}

ArchitectureSpec glm4() {
  ArchitectureSpec row{.name = "glm4",
                       .model_types = {"glm4"},
                       .placement = NormPlacement::kSandwich,
                       .position = PositionKind::kRotaryInterleaved,
                       .ffn = FfnForm::kFusedGated,
                       .default_head_dim = 128,
                       .default_rotary_fraction = 0.5,
                       .names = llama_names()};
  row.names.attention_post_norm = "layers.{}.post_self_attn_layernorm.weight";
  row.names.ffn_post_norm = "layers.{}.post_mlp_layernorm.weight";
  row.names.gate = {};
  row.names.up = "layers.{}.mlp.gate_up_proj.weight";
  row.gguf = {.architecture = "glm4"};
  return row;
}

}  // namespace

std::vector<ArchitectureSpec> post_norm_families() {
  return {gemma(), gemma2(), gemma3(), olmo2(), exaone4(), glm4()};
}

}  // namespace defectoscope
