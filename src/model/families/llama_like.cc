#include "model/families/families.h"

// Before each half of a block a norm, and LLaMA's names with a few changes.

namespace defectoscope {
namespace {

ArchitectureSpec llama() {
  return {.name = "llama",
          .model_types = {"llama"},
          .biases = {.attention_key = "attention_bias", .ffn_key = "mlp_bias"},
          .names = llama_names(),
          .gguf = {.architecture = "llama", .permuted_heads = true, .llama2c = true}};
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
          .names = llama_names(),
          .gguf = {.architecture = "qwen2"}};
}

ArchitectureSpec qwen3() {
  ArchitectureSpec row{.name = "qwen3",
                       .model_types = {"qwen3"},
                       .qk_norm = QkNorm::kPerHead,
                       .default_head_dim = 128,
                       .window = WindowRule::kSwitchedLayers,
                       .default_window = 4096,
                       .biases = {.attention_key = "attention_bias"},
                       .names = llama_names()};
  row.names.query_norm = "layers.{}.self_attn.q_norm.weight";
  row.names.key_norm = "layers.{}.self_attn.k_norm.weight";
  row.gguf = {.architecture = "qwen3"};
  return row;
}

ArchitectureSpec phi3() {
  ArchitectureSpec row{.name = "phi3",
                       .model_types = {"phi3"},
                       .qkv = QkvLayout::kFusedBlocks,
                       .ffn = FfnForm::kFusedGated,
                       .default_norm_eps = 1e-5,
                       .window = WindowRule::kEveryLayer,
                       .names = llama_names()};
  row.names.query = row.names.key = row.names.value = {};
  row.names.fused_qkv = "layers.{}.self_attn.qkv_proj.weight";
  row.names.gate = {};
  row.names.up = "layers.{}.mlp.gate_up_proj.weight";
  row.gguf = {.architecture = "phi3"};
  return row;
}

ArchitectureSpec granite() {
  return {.name = "granite",
          .model_types = {"granite"},
          .biases = {.attention_key = "attention_bias", .ffn_key = "mlp_bias"},
          .names = llama_names(),
          .scales = {.embedding = "embedding_multiplier",
                     .residual = "residual_multiplier",
                     .attention = "attention_multiplier",
                     .logits_divisor = "logits_scaling"},
          .gguf = {.architecture = "granite",
                   .permuted_heads = true,
                   .settings = {{"embedding_scale", "embedding_multiplier"},
                                {"residual_scale", "residual_multiplier"},
                                {"attention.scale", "attention_multiplier"},
                                {"logit_scale", "logits_scaling"}}}};
}

ArchitectureSpec smollm3() {
  return {.name = "smollm3",
          .model_types = {"smollm3"},
          .rotary = RotaryRule::kListedLayers,
          .tied_by_default = true,
          .default_kv_heads = 4,
          .default_rope_base = 2'000'000,
          .window = WindowRule::kSwitchedLayers,
          .biases = {.attention_key = "attention_bias", .ffn_key = "mlp_bias"},
          .names = llama_names(),
          .gguf = {.architecture = "smollm3", .permuted_heads = true}};
}

ArchitectureSpec olmo() {
  return {
      .name = "olmo",
      .model_types = {"olmo"},
      .norm = NormKind::kLayerNorm,
      .norm_weights = false,
      .default_norm_eps = 1e-5,
      .biases = {.attention_key = "attention_bias"},
      .names = llama_names(),
      .scales = {.qkv_limit = "clip_qkv"},
      .gguf = {
          .architecture = "olmo", .permuted_heads = true, .settings = {{"attention.clamp_kqv", "clip_qkv"}}}};
}

ArchitectureSpec starcoder2() {
  ArchitectureSpec row{
      .name = "starcoder2",
      .model_types = {"starcoder2"},
      .norm = NormKind::kLayerNorm,
      .ffn = FfnForm::kPlain,
      .tied_by_default = true,
      .default_norm_eps = 1e-5,
      .default_kv_heads = 2,
      .default_activation = "gelu_pytorch_tanh",
      .window = WindowRule::kEveryLayer,
      .biases = {.norm = BiasRule::kRequired, .attention_key = "use_bias", .ffn_key = "use_bias"},
      .names = llama_names()};
  row.names.gate = {};
  row.names.up = "layers.{}.mlp.c_fc.weight";
  row.names.down = "layers.{}.mlp.c_proj.weight";
  row.keys.norm_eps = {"norm_epsilon"};
  row.gguf = {.architecture = "starcoder2"};
  return row;
}

ArchitectureSpec stablelm() {
  ArchitectureSpec row{.name = "stablelm",
                       .model_types = {"stablelm", "stablelm_epoch"},
                       .norm = NormKind::kLayerNorm,
                       .qk_norm = QkNorm::kOwnPerHead,
                       .qk_norm_key = "qk_layernorm",
                       .default_norm_eps = 1e-5,
                       .default_rotary_fraction = 0.25,
                       .biases = {.norm = BiasRule::kRequired},
                       .names = llama_names()};
  row.names.query_norm = "layers.{}.self_attn.q_layernorm.norms.{head}.weight";
  row.names.key_norm = "layers.{}.self_attn.k_layernorm.norms.{head}.weight";
  row.keys.norm_eps = {"layer_norm_eps", "norm_eps"};
  row.keys.rotary_fraction = {"partial_rotary_factor", "rope_pct"};
  row.gguf = {.architecture = "stablelm"};
  return row;
}

ArchitectureSpec stablelm_parallel() {
  ArchitectureSpec row = stablelm();
  row.when = {{"use_parallel_residual", "true"}};
  row.residual = ResidualForm::kParallelShared;
  row.names.ffn_norm = {};
  row.gguf.when = {"use_parallel_residual", "true"};
  return row;
}

/// Command R.
ArchitectureSpec cohere() {
  ArchitectureSpec row{.name = "cohere",
                       .model_types = {"cohere"},
                       .norm = NormKind::kLayerNorm,
                       .residual = ResidualForm::kParallelShared,
                       .position = PositionKind::kRotaryInterleaved,
                       .qk_norm = QkNorm::kOwnPerHead,
                       .qk_norm_key = "use_qk_norm",
                       .tied_by_default = true,
                       .default_norm_eps = 1e-5,
                       .biases = {.attention_key = "attention_bias"},
                       .names = llama_names(),
                       .scales = {.logits = "logit_scale"}};
  row.names.ffn_norm = {};
  row.names.query_norm = "layers.{}.self_attn.q_norm.weight";
  row.names.key_norm = "layers.{}.self_attn.k_norm.weight";
  row.gguf = {.architecture = "command-r", .settings = {{"logit_scale", "logit_scale"}}};
  return row;
}

/// Command R7B, Command A.
ArchitectureSpec cohere2() {
  ArchitectureSpec row = cohere();
  row.name = "cohere2";
  row.model_types = {"cohere2"};
  row.rotary = RotaryRule::kWindowedLayers;
  row.qk_norm = QkNorm::kNone;
  row.qk_norm_key = {};
  row.names.query_norm = row.names.key_norm = {};
  row.window = WindowRule::kPattern;
  row.default_window = 4096;
  row.default_window_pattern = 4;
  row.gguf.architecture = "cohere2";
  return row;
}

}  // namespace

std::vector<ArchitectureSpec> llama_like_families() {
  return {
      llama(),    mistral(),           qwen2(),  qwen3(),  phi3(), granite(), smollm3(), olmo(), starcoder2(),
      stablelm(), stablelm_parallel(), cohere(), cohere2()};
}

}  // namespace defectoscope
