#include "model/families/families.h"

namespace defectoscope {

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

}  // namespace defectoscope
