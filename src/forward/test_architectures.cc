#include "forward/test_architectures.h"

#include <stdexcept>
#include <vector>

namespace defectoscope {
namespace {

TensorNames llama_like_names() {
  return {.embedding = "model.embed_tokens.weight",
          .attention_norm = "model.layers.{}.input_layernorm.weight",
          .query = "model.layers.{}.self_attn.q_proj.weight",
          .key = "model.layers.{}.self_attn.k_proj.weight",
          .value = "model.layers.{}.self_attn.v_proj.weight",
          .attention_output = "model.layers.{}.self_attn.o_proj.weight",
          .ffn_norm = "model.layers.{}.post_attention_layernorm.weight",
          .gate = "model.layers.{}.mlp.gate_proj.weight",
          .up = "model.layers.{}.mlp.up_proj.weight",
          .down = "model.layers.{}.mlp.down_proj.weight",
          .final_norm = "model.norm.weight",
          .lm_head = "lm_head.weight"};
}

ArchitectureSpec gpt_neox() {
  return {.name = "gpt_neox",
          .norm = NormKind::kLayerNorm,
          .residual = ResidualForm::kParallel,
          .qkv = QkvLayout::kFusedPerHead,
          .ffn = FfnForm::kPlain,
          .default_activation = "gelu",
          .names = {.prefixes = {"gpt_neox."},
                    .embedding = "embed_in.weight",
                    .attention_norm = "layers.{}.input_layernorm.weight",
                    .fused_qkv = "layers.{}.attention.query_key_value.weight",
                    .attention_output = "layers.{}.attention.dense.weight",
                    .ffn_norm = "layers.{}.post_attention_layernorm.weight",
                    .up = "layers.{}.mlp.dense_h_to_4h.weight",
                    .down = "layers.{}.mlp.dense_4h_to_h.weight",
                    .final_norm = "final_layer_norm.weight",
                    .lm_head = "lm_head.weight"}};
}

ArchitectureSpec gptj() {
  return {.name = "gptj",
          .norm = NormKind::kLayerNorm,
          .residual = ResidualForm::kParallelShared,
          .position = PositionKind::kRotaryInterleaved,
          .ffn = FfnForm::kPlain,
          .default_activation = "gelu_new",
          .names = {.prefixes = {"transformer."},
                    .embedding = "wte.weight",
                    .attention_norm = "h.{}.ln_1.weight",
                    .query = "h.{}.attn.q_proj.weight",
                    .key = "h.{}.attn.k_proj.weight",
                    .value = "h.{}.attn.v_proj.weight",
                    .attention_output = "h.{}.attn.out_proj.weight",
                    .up = "h.{}.mlp.fc_in.weight",
                    .down = "h.{}.mlp.fc_out.weight",
                    .final_norm = "ln_f.weight",
                    .lm_head = "lm_head.weight"}};
}

ArchitectureSpec mpt() {
  return {.name = "mpt",
          .norm = NormKind::kLayerNorm,
          .position = PositionKind::kAlibi,
          .qkv = QkvLayout::kFusedBlocks,
          .ffn = FfnForm::kPlain,
          .default_activation = "gelu",
          .names = {.prefixes = {"transformer."},
                    .embedding = "wte.weight",
                    .attention_norm = "blocks.{}.norm_1.weight",
                    .fused_qkv = "blocks.{}.attn.Wqkv.weight",
                    .attention_output = "blocks.{}.attn.out_proj.weight",
                    .ffn_norm = "blocks.{}.norm_2.weight",
                    .up = "blocks.{}.ffn.up_proj.weight",
                    .down = "blocks.{}.ffn.down_proj.weight",
                    .final_norm = "norm_f.weight"}};
}

ArchitectureSpec glm4() {
  ArchitectureSpec row{.name = "glm4",
                       .placement = NormPlacement::kSandwich,
                       .position = PositionKind::kRotaryInterleaved,
                       .ffn = FfnForm::kFusedGated,
                       .names = llama_like_names()};
  row.names.attention_post_norm = "model.layers.{}.post_self_attn_layernorm.weight";
  row.names.ffn_post_norm = "model.layers.{}.post_mlp_layernorm.weight";
  row.names.gate = {};
  row.names.up = "model.layers.{}.mlp.gate_up_proj.weight";
  return row;
}

ArchitectureSpec exaone4() {
  ArchitectureSpec row{.name = "exaone4", .placement = NormPlacement::kOutput, .names = llama_like_names()};
  row.names.attention_norm = row.names.ffn_norm = {};
  row.names.attention_post_norm = "model.layers.{}.post_attention_layernorm.weight";
  row.names.ffn_post_norm = "model.layers.{}.post_feedforward_layernorm.weight";
  row.names.query_norm = "model.layers.{}.self_attn.q_norm.weight";
  row.names.key_norm = "model.layers.{}.self_attn.k_norm.weight";
  return row;
}

ArchitectureSpec openai_gpt() {
  return {.name = "openai-gpt",
          .norm = NormKind::kLayerNorm,
          .placement = NormPlacement::kPost,
          .position = PositionKind::kLearned,
          .qkv = QkvLayout::kFusedBlocks,
          .ffn = FfnForm::kPlain,
          .transposed_weights = true,
          .default_activation = "gelu_new",
          .names = {.prefixes = {"transformer."},
                    .embedding = "tokens_embed.weight",
                    .position_embedding = "positions_embed.weight",
                    .attention_norm = "h.{}.ln_1.weight",
                    .fused_qkv = "h.{}.attn.c_attn.weight",
                    .attention_output = "h.{}.attn.c_proj.weight",
                    .ffn_norm = "h.{}.ln_2.weight",
                    .up = "h.{}.mlp.c_fc.weight",
                    .down = "h.{}.mlp.c_proj.weight"}};
}

}  // namespace

const ArchitectureSpec& find_test_architecture(std::string_view model_type) {
  static const std::vector<ArchitectureSpec> rows = {gpt_neox(), gptj(),    mpt(),
                                                     glm4(),     exaone4(), openai_gpt()};
  for (const ArchitectureSpec& row : rows)
    if (row.name == model_type) return row;
  throw std::logic_error("no test architecture named " + std::string(model_type));
}

Activation test_activation(const ArchitectureSpec& row) {
  if (row.default_activation == "gelu") return Activation::kGeluErf;
  if (row.default_activation == "gelu_new") return Activation::kGeluTanh;
  return Activation::kSilu;
}

}  // namespace defectoscope
