#include "model/families/families.h"

// Encoders: every token sees all, norms of the sums, a masked-token head.

namespace defectoscope {
namespace {

constexpr BiasRule kRequiredBias = BiasRule::kRequired;

ArchitectureSpec bert() {
  return {
      .name = "bert",
      .model_types = {"bert"},
      .norm = NormKind::kLayerNorm,
      .placement = NormPlacement::kPost,
      .position = PositionKind::kLearned,
      .ffn = FfnForm::kPlain,
      .causal = false,
      .tied_by_default = true,
      .default_norm_eps = 1e-12,
      .default_activation = "gelu",
      .biases = {kRequiredBias, kRequiredBias, kRequiredBias, kRequiredBias},
      .fixed = {{"position_embedding_type", "\"absolute\""}, {"is_decoder", "false"}},
      .names = {.prefixes = {"bert.", ""},
                .embedding = "embeddings.word_embeddings.weight",
                .position_embedding = "embeddings.position_embeddings.weight",
                .token_type_embedding = "embeddings.token_type_embeddings.weight",
                .embedding_norm = "embeddings.LayerNorm.weight",
                .attention_norm = "encoder.layer.{}.attention.output.LayerNorm.weight",
                .query = "encoder.layer.{}.attention.self.query.weight",
                .key = "encoder.layer.{}.attention.self.key.weight",
                .value = "encoder.layer.{}.attention.self.value.weight",
                .attention_output = "encoder.layer.{}.attention.output.dense.weight",
                .ffn_norm = "encoder.layer.{}.output.LayerNorm.weight",
                .up = "encoder.layer.{}.intermediate.dense.weight",
                .down = "encoder.layer.{}.output.dense.weight",
                .head_dense = "cls.predictions.transform.dense.weight",
                .head_norm = "cls.predictions.transform.LayerNorm.weight",
                .lm_head = "cls.predictions.decoder.weight",
                .lm_head_bias = "cls.predictions.bias",
                .spellings = {{"LayerNorm.weight", "LayerNorm.gamma"}, {"LayerNorm.bias", "LayerNorm.beta"}},
                .ignored = {"embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias"}},
      .gguf = {.architecture = "bert",
               .when_tensor = "token_types.weight",
               .exceptions = {{"attn_output_norm", "encoder.layer.{}.attention.output.LayerNorm.weight"},
                              {"layer_output_norm", "encoder.layer.{}.output.LayerNorm.weight"}}}};
}

ArchitectureSpec roberta() {
  ArchitectureSpec row = bert();
  row.name = "roberta";
  row.model_types = {"roberta", "xlm-roberta", "camembert"};
  row.position_offset = 2;  // after the padding token's own
  row.offset_within_positions = true;
  row.gguf = {};  // llama.cpp cuts the offset off and calls it bert
  row.fixed.push_back({"pad_token_id", "1"});
  row.names.prefixes = {"roberta.", ""};
  row.names.head_dense = "lm_head.dense.weight";
  row.names.head_norm = "lm_head.layer_norm.weight";
  row.names.lm_head = "lm_head.decoder.weight";
  row.names.lm_head_bias = "lm_head.bias";
  return row;
}

ArchitectureSpec distilbert() {
  ArchitectureSpec row = bert();
  row.name = "distilbert";
  row.model_types = {"distilbert"};
  row.fixed = {};
  row.names.prefixes = {"distilbert.", ""};
  row.names.token_type_embedding = {};
  row.names.attention_norm = "transformer.layer.{}.sa_layer_norm.weight";
  row.names.query = "transformer.layer.{}.attention.q_lin.weight";
  row.names.key = "transformer.layer.{}.attention.k_lin.weight";
  row.names.value = "transformer.layer.{}.attention.v_lin.weight";
  row.names.attention_output = "transformer.layer.{}.attention.out_lin.weight";
  row.names.ffn_norm = "transformer.layer.{}.output_layer_norm.weight";
  row.names.up = "transformer.layer.{}.ffn.lin1.weight";
  row.names.down = "transformer.layer.{}.ffn.lin2.weight";
  row.names.head_dense = "vocab_transform.weight";
  row.names.head_norm = "vocab_layer_norm.weight";
  row.names.lm_head = "vocab_projector.weight";
  row.names.lm_head_bias = "vocab_projector.bias";
  row.keys.hidden_size = {"dim"};
  row.keys.layers = {"n_layers"};
  row.keys.heads = {"n_heads"};
  row.keys.ffn_size = {"hidden_dim"};
  row.keys.activation = {"activation"};
  row.keys.norm_eps = {};
  row.gguf = {.architecture = "bert",
              .exceptions = {{"attn_output_norm", row.names.attention_norm},
                             {"layer_output_norm", row.names.ffn_norm}}};
  return row;
}

}  // namespace

std::vector<ArchitectureSpec> encoder_families() { return {bert(), roberta(), distilbert()}; }

}  // namespace defectoscope
