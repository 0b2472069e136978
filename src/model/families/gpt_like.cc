#include "model/families/families.h"

// GPT-2 and what followed it: LayerNorm with shifts, plain FFNs, biases, names of their own.

namespace defectoscope {
namespace {

constexpr BiasRule kRequired = BiasRule::kRequired;
constexpr BiasRules kAllBiases = {kRequired, kRequired, kRequired, kRequired};

/// What GPT-2's config.json calls its sizes.
ConfigKeys gpt2_keys() {
  ConfigKeys keys;
  keys.hidden_size = {"n_embd", "hidden_size"};
  keys.layers = {"n_layer", "num_hidden_layers"};
  keys.heads = {"n_head", "num_attention_heads"};
  keys.ffn_size = {"n_inner"};
  keys.max_positions = {"n_positions", "n_ctx", "max_position_embeddings"};
  return keys;
}

ArchitectureSpec gpt2() {
  return {.name = "gpt2",
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
          .biases = kAllBiases,
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
          .keys = gpt2_keys(),
          .gguf = {.architecture = "gpt2"}};
}

/// The first GPT: norms of the sums, none at the end.
ArchitectureSpec openai_gpt() {
  ArchitectureSpec row = gpt2();
  row.name = "openai-gpt";
  row.model_types = {"openai-gpt"};
  row.placement = NormPlacement::kPost;
  row.fixed = {{"afn", "\"gelu\""}};  // which is gelu_new there
  row.names.embedding = "tokens_embed.weight";
  row.names.position_embedding = "positions_embed.weight";
  row.names.final_norm = {};
  row.names.ignored = {"h.{}.attn.bias"};
  row.keys.activation = {};
  row.keys.ffn_size = {};
  row.gguf = {};
  return row;
}

ArchitectureSpec gpt_neo() {
  ArchitectureSpec row{.name = "gpt_neo",
                       .model_types = {"gpt_neo"},
                       .norm = NormKind::kLayerNorm,
                       .position = PositionKind::kLearned,
                       .ffn = FfnForm::kPlain,
                       .unscaled_attention = true,
                       .tied_by_default = true,
                       .default_norm_eps = 1e-5,
                       .ffn_factor = 4,
                       .default_activation = "gelu_new",
                       .window = WindowRule::kAttentionTypes,
                       .default_window = 256,
                       .biases = {.attention_output = kRequired, .ffn = kRequired, .norm = kRequired},
                       .names = {.prefixes = {"transformer.", ""},
                                 .embedding = "wte.weight",
                                 .position_embedding = "wpe.weight",
                                 .attention_norm = "h.{}.ln_1.weight",
                                 .query = "h.{}.attn.attention.q_proj.weight",
                                 .key = "h.{}.attn.attention.k_proj.weight",
                                 .value = "h.{}.attn.attention.v_proj.weight",
                                 .attention_output = "h.{}.attn.attention.out_proj.weight",
                                 .ffn_norm = "h.{}.ln_2.weight",
                                 .up = "h.{}.mlp.c_fc.weight",
                                 .down = "h.{}.mlp.c_proj.weight",
                                 .final_norm = "ln_f.weight",
                                 .lm_head = "lm_head.weight",
                                 .ignored = {"h.{}.attn.attention.bias", "h.{}.attn.attention.masked_bias"}}};
  row.keys.layers = {"num_layers", "num_hidden_layers"};
  row.keys.heads = {"num_heads", "num_attention_heads"};
  row.keys.sliding_window = {"window_size"};
  return row;
}

ArchitectureSpec gptj() {
  ArchitectureSpec row{.name = "gptj",
                       .model_types = {"gptj"},
                       .norm = NormKind::kLayerNorm,
                       .residual = ResidualForm::kParallelShared,
                       .position = PositionKind::kRotaryInterleaved,
                       .ffn = FfnForm::kPlain,
                       .default_norm_eps = 1e-5,
                       .ffn_factor = 4,
                       .default_activation = "gelu_new",
                       .biases = {.ffn = kRequired, .norm = kRequired},
                       .names = {.prefixes = {"transformer.", ""},
                                 .embedding = "wte.weight",
                                 .attention_norm = "h.{}.ln_1.weight",
                                 .query = "h.{}.attn.q_proj.weight",
                                 .key = "h.{}.attn.k_proj.weight",
                                 .value = "h.{}.attn.v_proj.weight",
                                 .attention_output = "h.{}.attn.out_proj.weight",
                                 .up = "h.{}.mlp.fc_in.weight",
                                 .down = "h.{}.mlp.fc_out.weight",
                                 .final_norm = "ln_f.weight",
                                 .lm_head = "lm_head.weight",
                                 .ignored = {"h.{}.attn.bias", "h.{}.attn.masked_bias"}},
                       .keys = gpt2_keys()};
  row.keys.rotary_dim = {"rotary_dim"};
  return row;
}

ArchitectureSpec gpt_neox() {
  return {.name = "gpt_neox",
          .model_types = {"gpt_neox"},
          .norm = NormKind::kLayerNorm,
          .residual = ResidualForm::kParallel,
          .qkv = QkvLayout::kFusedPerHead,
          .ffn = FfnForm::kPlain,
          .default_norm_eps = 1e-5,
          .default_activation = "gelu",
          .default_rotary_fraction = 0.25,
          .biases = {.ffn = kRequired, .norm = kRequired, .attention_key = "attention_bias"},
          .names = {.prefixes = {"gpt_neox.", ""},
                    .embedding = "embed_in.weight",
                    .attention_norm = "layers.{}.input_layernorm.weight",
                    .fused_qkv = "layers.{}.attention.query_key_value.weight",
                    .attention_output = "layers.{}.attention.dense.weight",
                    .ffn_norm = "layers.{}.post_attention_layernorm.weight",
                    .up = "layers.{}.mlp.dense_h_to_4h.weight",
                    .down = "layers.{}.mlp.dense_4h_to_h.weight",
                    .final_norm = "final_layer_norm.weight",
                    .lm_head = "embed_out.weight",
                    .spellings = {{"embed_out.weight", "lm_head.weight"}},
                    .ignored = {"layers.{}.attention.bias", "layers.{}.attention.masked_bias",
                                "layers.{}.attention.rotary_emb.inv_freq"}},
          .gguf = {.architecture = "gptneox"}};
}

ArchitectureSpec gpt_neox_sequential() {
  ArchitectureSpec row = gpt_neox();
  row.when = {{"use_parallel_residual", "false"}};
  row.gguf.when = {"use_parallel_residual", "false"};
  row.residual = ResidualForm::kSequential;
  return row;
}

ArchitectureSpec phi() {
  return {.name = "phi",
          .model_types = {"phi"},
          .norm = NormKind::kLayerNorm,
          .residual = ResidualForm::kParallelShared,
          .ffn = FfnForm::kPlain,
          .default_norm_eps = 1e-5,
          .default_activation = "gelu_new",
          .default_rotary_fraction = 0.5,
          .biases = kAllBiases,
          .fixed = {{"qk_layernorm", "false"}},
          .names = {.prefixes = {"model.", ""},
                    .embedding = "embed_tokens.weight",
                    .attention_norm = "layers.{}.input_layernorm.weight",
                    .query = "layers.{}.self_attn.q_proj.weight",
                    .key = "layers.{}.self_attn.k_proj.weight",
                    .value = "layers.{}.self_attn.v_proj.weight",
                    .attention_output = "layers.{}.self_attn.dense.weight",
                    .up = "layers.{}.mlp.fc1.weight",
                    .down = "layers.{}.mlp.fc2.weight",
                    .final_norm = "final_layernorm.weight",
                    .lm_head = "lm_head.weight"},
          .gguf = {.architecture = "phi2"}};
}

ArchitectureSpec opt() {
  ArchitectureSpec row{.name = "opt",
                       .model_types = {"opt"},
                       .norm = NormKind::kLayerNorm,
                       .position = PositionKind::kLearned,
                       .ffn = FfnForm::kPlain,
                       .position_offset = 2,
                       .tied_by_default = true,
                       .default_norm_eps = 1e-5,
                       .default_activation = "relu",
                       .biases = kAllBiases,
                       .fixed = {{"enable_bias", "true"},
                                 {"layer_norm_elementwise_affine", "true"},
                                 {"_remove_final_layer_norm", "false"}},
                       .names = {.prefixes = {"model.decoder.", "decoder.", ""},
                                 .embedding = "embed_tokens.weight",
                                 .position_embedding = "embed_positions.weight",
                                 .project_in = "project_in.weight",
                                 .project_out = "project_out.weight",
                                 .attention_norm = "layers.{}.self_attn_layer_norm.weight",
                                 .query = "layers.{}.self_attn.q_proj.weight",
                                 .key = "layers.{}.self_attn.k_proj.weight",
                                 .value = "layers.{}.self_attn.v_proj.weight",
                                 .attention_output = "layers.{}.self_attn.out_proj.weight",
                                 .ffn_norm = "layers.{}.final_layer_norm.weight",
                                 .up = "layers.{}.fc1.weight",
                                 .down = "layers.{}.fc2.weight",
                                 .final_norm = "final_layer_norm.weight",
                                 .lm_head = "lm_head.weight"}};
  row.keys.ffn_size = {"ffn_dim"};
  row.keys.embedding_size = {"word_embed_proj_dim"};
  return row;
}

/// OPT-350m: norms of the sums.
ArchitectureSpec opt_post_norm() {
  ArchitectureSpec row = opt();
  row.when = {{"do_layer_norm_before", "false"}};
  row.placement = NormPlacement::kPost;
  row.names.final_norm = {};
  return row;
}

ArchitectureSpec bloom() {
  ArchitectureSpec row{.name = "bloom",
                       .model_types = {"bloom"},
                       .norm = NormKind::kLayerNorm,
                       .position = PositionKind::kAlibi,
                       .qkv = QkvLayout::kFusedPerHead,
                       .ffn = FfnForm::kPlain,
                       .tied_by_default = true,
                       .default_norm_eps = 1e-5,
                       .ffn_factor = 4,
                       .default_max_positions = 2048,
                       .default_activation = "gelu_new",
                       .biases = kAllBiases,
                       .fixed = {{"apply_residual_connection_post_layernorm", "false"}},
                       .names = {.prefixes = {"transformer.", ""},
                                 .embedding = "word_embeddings.weight",
                                 .embedding_norm = "word_embeddings_layernorm.weight",
                                 .attention_norm = "h.{}.input_layernorm.weight",
                                 .fused_qkv = "h.{}.self_attention.query_key_value.weight",
                                 .attention_output = "h.{}.self_attention.dense.weight",
                                 .ffn_norm = "h.{}.post_attention_layernorm.weight",
                                 .up = "h.{}.mlp.dense_h_to_4h.weight",
                                 .down = "h.{}.mlp.dense_4h_to_h.weight",
                                 .final_norm = "ln_f.weight",
                                 .lm_head = "lm_head.weight"}};
  row.keys.hidden_size = {"hidden_size", "n_embed"};
  row.keys.layers = {"n_layer", "num_hidden_layers"};
  row.keys.heads = {"n_head", "num_attention_heads"};
  row.keys.ffn_size = {};
  row.keys.max_positions = {"seq_length"};
  row.keys.activation = {};
  row.gguf = {.architecture = "bloom"};
  return row;
}

ArchitectureSpec mpt() {
  ArchitectureSpec row{
      .name = "mpt",
      .model_types = {"mpt"},
      .norm = NormKind::kLayerNorm,
      .position = PositionKind::kAlibi,
      .qkv = QkvLayout::kFusedBlocks,
      .ffn = FfnForm::kPlain,
      .tied_by_default = true,
      .default_norm_eps = 1e-5,
      .ffn_factor = 4,
      .default_max_positions = 2048,
      .default_activation = "gelu",
      .fixed = {{"no_bias", "true"},
                {"expansion_ratio", "4"},
                {"logit_scale", "null"},
                {"attn_config.alibi", "true"},
                {"attn_config.alibi_bias_max", "8"},
                {"attn_config.attn_type", "\"multihead_attention\""},
                {"attn_config.attn_uses_sequence_id", "false"},
                {"attn_config.prefix_lm", "false"},
                {"attn_config.qk_ln", "false"}},
      .names = {.prefixes = {"transformer.", ""},
                .embedding = "wte.weight",
                .attention_norm = "blocks.{}.norm_1.weight",
                .fused_qkv = "blocks.{}.attn.Wqkv.weight",
                .attention_output = "blocks.{}.attn.out_proj.weight",
                .ffn_norm = "blocks.{}.norm_2.weight",
                .up = "blocks.{}.ffn.up_proj.weight",
                .down = "blocks.{}.ffn.down_proj.weight",
                .final_norm = "norm_f.weight",
                .lm_head = "lm_head.weight"},
      .scales = {.attention = "attn_config.softmax_scale", .qkv_limit = "attn_config.clip_qkv"}};
  row.keys.hidden_size = {"d_model"};
  row.keys.layers = {"n_layers"};
  row.keys.heads = {"n_heads"};
  row.keys.ffn_size = {};
  row.keys.max_positions = {"max_seq_len"};
  row.keys.activation = {};
  row.gguf = {.architecture = "mpt", .settings = {{"attention.clamp_kqv", "attn_config.clip_qkv"}}};
  return row;
}

}  // namespace

std::vector<ArchitectureSpec> gpt_like_families() {
  return {gpt2(), openai_gpt(), gpt_neo(),       gptj(),  gpt_neox(), gpt_neox_sequential(),
          phi(),  opt(),        opt_post_norm(), bloom(), mpt()};
}

}  // namespace defectoscope
