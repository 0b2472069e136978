#include "model/families/families.h"

namespace defectoscope {
namespace {

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
                                  .ignored = {"h.{}.attn.bias", "h.{}.attn.masked_bias"}},
                        .gguf = {.architecture = "gpt2"}};
  spec.keys.hidden_size = {"n_embd", "hidden_size"};
  spec.keys.layers = {"n_layer", "num_hidden_layers"};
  spec.keys.heads = {"n_head", "num_attention_heads"};
  spec.keys.ffn_size = {"n_inner"};
  spec.keys.max_positions = {"n_positions", "n_ctx", "max_position_embeddings"};
  return spec;
}

}  // namespace

std::vector<ArchitectureSpec> gpt_like_families() { return {gpt2()}; }

}  // namespace defectoscope
