#include "model/families/families.h"

namespace defectoscope {
namespace {

/// As published, one tensor an expert, and as newer programs pack them.
std::vector<ExpertNames> qwen_spellings() {
  const ExpertNames own = {.router = "layers.{}.mlp.gate.weight",
                           .gate = "layers.{}.mlp.experts.{}.gate_proj.weight",
                           .up = "layers.{}.mlp.experts.{}.up_proj.weight",
                           .down = "layers.{}.mlp.experts.{}.down_proj.weight"};
  ExpertNames packed = {.router = own.router};
  packed.packed_gate_up = "layers.{}.mlp.experts.gate_up_proj";
  packed.packed_down = "layers.{}.mlp.experts.down_proj";
  return {own, packed};
}

std::vector<ExpertNames> with_shared(std::vector<ExpertNames> spellings, std::string_view gate,
                                     std::string_view up, std::string_view down,
                                     std::string_view shared_switch) {
  for (ExpertNames& names : spellings) {
    names.shared_gate = gate;
    names.shared_up = up;
    names.shared_down = down;
    names.shared_switch = shared_switch;
  }
  return spellings;
}

ArchitectureSpec mixtral() {
  ArchitectureSpec spec{.name = "mixtral",
                        .model_types = {"mixtral"},
                        .default_norm_eps = 1e-5,
                        .default_kv_heads = 8,
                        .window = WindowRule::kEveryLayer,
                        .names = llama_names()};
  spec.names.gate = spec.names.up = spec.names.down = {};
  ExpertNames packed = qwen_spellings()[1];
  spec.experts = {.spellings = {{.router = "layers.{}.block_sparse_moe.gate.weight",
                                 .gate = "layers.{}.block_sparse_moe.experts.{}.w1.weight",
                                 .up = "layers.{}.block_sparse_moe.experts.{}.w3.weight",
                                 .down = "layers.{}.block_sparse_moe.experts.{}.w2.weight"},
                                packed},
                  .normalized = true,
                  .count_keys = {"num_local_experts", "num_experts"},
                  .size_keys = {"intermediate_size"}};
  spec.gguf = {.architecture = "llama", .permuted_heads = true, .when_tensor = "blk.0.ffn_gate_inp.weight"};
  return spec;
}

ArchitectureSpec qwen2_moe() {
  ArchitectureSpec spec{.name = "qwen2_moe",
                        .model_types = {"qwen2_moe"},
                        .window = WindowRule::kSwitchedLayers,
                        .default_window = 4096,
                        .biases = {.qkv = BiasRule::kRequired},
                        .names = llama_names()};
  spec.experts = {.spellings = with_shared(qwen_spellings(), "layers.{}.mlp.shared_expert.gate_proj.weight",
                                           "layers.{}.mlp.shared_expert.up_proj.weight",
                                           "layers.{}.mlp.shared_expert.down_proj.weight",
                                           "layers.{}.mlp.shared_expert_gate.weight"),
                  .layers = SparseLayers::kEveryNth,
                  .normalized_key = "norm_topk_prob",
                  .count_keys = {"num_experts", "num_local_experts"},
                  .size_keys = {"moe_intermediate_size"},
                  .shared_size_keys = {"shared_expert_intermediate_size"}};
  spec.gguf = {.architecture = "qwen2moe"};
  return spec;
}

ArchitectureSpec qwen3_moe() {
  ArchitectureSpec spec{.name = "qwen3_moe",
                        .model_types = {"qwen3_moe"},
                        .qk_norm = QkNorm::kPerHead,
                        .window = WindowRule::kSwitchedLayers,
                        .default_window = 4096,
                        .biases = {.attention_key = "attention_bias"},
                        .names = llama_names()};
  spec.names.query_norm = "layers.{}.self_attn.q_norm.weight";
  spec.names.key_norm = "layers.{}.self_attn.k_norm.weight";
  spec.experts = {.spellings = qwen_spellings(),
                  .layers = SparseLayers::kEveryNth,
                  .normalized_key = "norm_topk_prob",
                  .count_keys = {"num_experts", "num_local_experts"},
                  .size_keys = {"moe_intermediate_size"}};
  spec.gguf = {.architecture = "qwen3moe", .says = {{"norm_topk_prob", "true"}}};
  return spec;
}

ArchitectureSpec gpt_oss() {
  ArchitectureSpec spec{.name = "gpt_oss",
                        .model_types = {"gpt_oss"},
                        .default_norm_eps = 1e-5,
                        // x · sigmoid(1.702 x) whatever hidden_act says.
                        .default_activation = "quick_gelu",
                        .window = WindowRule::kPattern,
                        .default_window = 128,
                        .default_window_pattern = 2,
                        .biases = {.attention_key = "attention_bias"},
                        .fixed = {{"swiglu_alpha", "1.702"}},
                        .names = llama_names()};
  spec.names.gate = spec.names.up = spec.names.down = {};
  spec.names.sinks = "layers.{}.self_attn.sinks";
  spec.keys.activation = {};
  spec.experts = {.spellings = {{.router = "layers.{}.mlp.router.weight",
                                 .packed_gate_up = "layers.{}.mlp.experts.gate_up_proj",
                                 .packed_down = "layers.{}.mlp.experts.down_proj",
                                 .packed_gate_up_bias = "layers.{}.mlp.experts.gate_up_proj_bias",
                                 .packed_down_bias = "layers.{}.mlp.experts.down_proj_bias",
                                 .packed_transposed = true},
                                {.router = "layers.{}.mlp.router.weight",
                                 .gate = "layers.{}.mlp.experts.{}.gate_proj.weight",
                                 .up = "layers.{}.mlp.experts.{}.up_proj.weight",
                                 .down = "layers.{}.mlp.experts.{}.down_proj.weight",
                                 .biases = true}},
                  .normalized = true,
                  .count_keys = {"num_local_experts", "num_experts"},
                  .size_keys = {"intermediate_size"}};
  spec.up_offset = 1;
  spec.clamp_key = "swiglu_limit";
  spec.gguf = {.architecture = "gpt-oss",
               .exceptions = {{"post_attention_norm", spec.names.ffn_norm}},
               .says = {{"rope_scaling.truncate", "false"}}};
  return spec;
}

ArchitectureSpec deepseek() {
  ArchitectureSpec spec{.position = PositionKind::kRotaryInterleaved,
                        .biases = {.attention_key = "attention_bias", .ffn_key = "mlp_bias"},
                        .names = llama_names()};
  spec.names.query_latent = "layers.{}.self_attn.q_a_proj.weight";
  spec.names.query_latent_norm = "layers.{}.self_attn.q_a_layernorm.weight";
  spec.names.query_expand = "layers.{}.self_attn.q_b_proj.weight";
  spec.names.kv_latent = "layers.{}.self_attn.kv_a_proj_with_mqa.weight";
  spec.names.kv_latent_norm = "layers.{}.self_attn.kv_a_layernorm.weight";
  spec.names.kv_expand = "layers.{}.self_attn.kv_b_proj.weight";
  spec.names.key_expand = "layers.{}.self_attn.k_b_proj.weight";
  spec.names.value_expand = "layers.{}.self_attn.v_b_proj.weight";
  spec.latent_attention = true;
  spec.experts = {.spellings = with_shared(qwen_spellings(), "layers.{}.mlp.shared_experts.gate_proj.weight",
                                           "layers.{}.mlp.shared_experts.up_proj.weight",
                                           "layers.{}.mlp.shared_experts.down_proj.weight", {}),
                  .layers = SparseLayers::kAfterFirst,
                  .scale_key = "routed_scaling_factor",
                  .grouped = true,
                  .count_keys = {"n_routed_experts", "num_experts", "num_local_experts"},
                  .size_keys = {"moe_intermediate_size"},
                  .shared_count_keys = {"n_shared_experts"}};
  return spec;
}

ArchitectureSpec deepseek_v2() {
  ArchitectureSpec spec = deepseek();
  spec.name = "deepseek_v2";
  spec.model_types = {"deepseek_v2"};
  spec.gguf = {.architecture = "deepseek2"};
  return spec;
}

ArchitectureSpec deepseek_v3() {
  ArchitectureSpec spec = deepseek();
  spec.name = "deepseek_v3";
  spec.model_types = {"deepseek_v3"};
  spec.gguf = {.architecture = "deepseek2", .when = {"expert_gating_func", "2"}};
  spec.fixed = {{"rope_interleave", "true"}};
  spec.experts.score = RouterScore::kSigmoid;
  spec.experts.group_score = GroupScore::kSumOfLargest;
  spec.experts.normalized = true;
  spec.experts.normalized_key = "norm_topk_prob";
  for (ExpertNames& names : spec.experts.spellings)
    names.selection_bias = "layers.{}.mlp.gate.e_score_correction_bias";
  return spec;
}

}  // namespace

std::vector<ArchitectureSpec> mixture_families() {
  return {mixtral(), qwen2_moe(), qwen3_moe(), gpt_oss(), deepseek_v2(), deepseek_v3()};
}

}  // namespace defectoscope
