#include "model/families/families.h"

// Falcon's three decoders.

namespace defectoscope {
namespace {

/// 7B: one key-value head, one norm for attention and FFN, which run in parallel.
ArchitectureSpec falcon() {
  ArchitectureSpec row{.name = "falcon",
                       .model_types = {"falcon", "RefinedWebModel"},
                       .norm = NormKind::kLayerNorm,
                       .residual = ResidualForm::kParallelShared,
                       .qkv = QkvLayout::kFusedBlocks,
                       .ffn = FfnForm::kPlain,
                       .tied_by_default = true,
                       .default_norm_eps = 1e-5,
                       .ffn_factor = 4,
                       .default_kv_heads = 1,
                       .default_max_positions = 2048,
                       .default_activation = "gelu",
                       .biases = {.norm = BiasRule::kRequired, .attention_key = "bias", .ffn_key = "bias"},
                       .fixed = {{"multi_query", "true"}, {"parallel_attn", "true"}, {"alibi", "false"}},
                       .names = {.prefixes = {"transformer.", ""},
                                 .embedding = "word_embeddings.weight",
                                 .attention_norm = "h.{}.input_layernorm.weight",
                                 .fused_qkv = "h.{}.self_attention.query_key_value.weight",
                                 .attention_output = "h.{}.self_attention.dense.weight",
                                 .up = "h.{}.mlp.dense_h_to_4h.weight",
                                 .down = "h.{}.mlp.dense_4h_to_h.weight",
                                 .final_norm = "ln_f.weight",
                                 .lm_head = "lm_head.weight",
                                 .ignored = {"h.{}.self_attention.rotary_emb.inv_freq"}}};
  row.keys.layers = {"num_hidden_layers", "n_layer"};
  row.keys.heads = {"num_attention_heads", "n_head"};
  row.keys.kv_heads = {};  // files of this form may name as many as heads, and have one
  row.keys.ffn_size = {"ffn_hidden_size"};
  row.keys.activation = {"activation"};
  row.gguf = {.architecture = "falcon", .when = {"attention.head_count_kv", "1"}};
  return row;
}

/// 40B, 180B: groups of query heads, a norm each for attention and FFN.
ArchitectureSpec new_decoder() {
  ArchitectureSpec row = falcon();
  row.when = {{"new_decoder_architecture", "true"}};
  row.residual = ResidualForm::kParallel;
  row.qkv = QkvLayout::kFusedPerGroup;
  row.default_kv_heads = 0;
  row.fixed = {{"parallel_attn", "true"}, {"alibi", "false"}};
  row.names.attention_norm = "h.{}.ln_attn.weight";
  row.names.ffn_norm = "h.{}.ln_mlp.weight";
  row.keys.kv_heads = {"num_kv_heads", "n_head_kv"};
  row.gguf = {.architecture = "falcon",
              .when_tensor = "blk.0.attn_norm_2.weight",
              .exceptions = {{"attn_norm_2", row.names.attention_norm}, {"attn_norm", row.names.ffn_norm}}};
  return row;
}

/// Falcon2-11B: the new decoder with one norm.
ArchitectureSpec new_decoder_shared() {
  ArchitectureSpec row = new_decoder();
  row.when.push_back({"num_ln_in_parallel_attn", "1"});
  row.residual = ResidualForm::kParallelShared;
  row.names.attention_norm = falcon().names.attention_norm;
  row.names.ffn_norm = {};
  row.gguf = {.architecture = "falcon"};
  return row;
}

/// 40B's first files, whose type says the form.
ArchitectureSpec refined_web() {
  ArchitectureSpec row = new_decoder();
  row.model_types = {"RefinedWeb"};
  row.when = {};
  row.gguf = {};
  return row;
}

/// RW-1B, RW-7B: a sequential block with ALiBi.
ArchitectureSpec refined_web_alibi() {
  ArchitectureSpec row = falcon();
  row.when = {{"alibi", "true"}, {"parallel_attn", "false"}, {"multi_query", "false"}};
  row.residual = ResidualForm::kSequential;
  row.position = PositionKind::kAlibi;
  row.alibi_before_scale = true;
  row.qkv = QkvLayout::kFusedPerHead;
  row.default_kv_heads = 0;
  row.fixed = {};
  row.names.ffn_norm = "h.{}.post_attention_layernorm.weight";
  row.gguf = {};
  return row;
}

}  // namespace

std::vector<ArchitectureSpec> falcon_families() {
  return {falcon(), new_decoder_shared(), new_decoder(), refined_web(), refined_web_alibi()};
}

}  // namespace defectoscope
