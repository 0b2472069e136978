#include "checkpoint/gguf_names.h"

#include <algorithm>

namespace defectoscope {
namespace {

constexpr std::string_view kLayer = "{}";

// LLaMA's converter alone permutes queries and keys; Mistral's files say "llama" too.
constexpr GgufName kLlama[] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
    {"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight"},
    {"blk.{}.attn_q.weight", "model.layers.{}.self_attn.q_proj.weight", GgufChange::kPermutedQuery},
    {"blk.{}.attn_q.bias", "model.layers.{}.self_attn.q_proj.bias", GgufChange::kPermutedQuery},
    {"blk.{}.attn_k.weight", "model.layers.{}.self_attn.k_proj.weight", GgufChange::kPermutedKey},
    {"blk.{}.attn_k.bias", "model.layers.{}.self_attn.k_proj.bias", GgufChange::kPermutedKey},
    {"blk.{}.attn_v.weight", "model.layers.{}.self_attn.v_proj.weight"},
    {"blk.{}.attn_v.bias", "model.layers.{}.self_attn.v_proj.bias"},
    {"blk.{}.attn_output.weight", "model.layers.{}.self_attn.o_proj.weight"},
    {"blk.{}.attn_output.bias", "model.layers.{}.self_attn.o_proj.bias"},
    {"blk.{}.ffn_norm.weight", "model.layers.{}.post_attention_layernorm.weight"},
    {"blk.{}.ffn_gate.weight", "model.layers.{}.mlp.gate_proj.weight"},
    {"blk.{}.ffn_gate.bias", "model.layers.{}.mlp.gate_proj.bias"},
    {"blk.{}.ffn_up.weight", "model.layers.{}.mlp.up_proj.weight"},
    {"blk.{}.ffn_up.bias", "model.layers.{}.mlp.up_proj.bias"},
    {"blk.{}.ffn_down.weight", "model.layers.{}.mlp.down_proj.weight"},
    {"blk.{}.ffn_down.bias", "model.layers.{}.mlp.down_proj.bias"}};

constexpr GgufName kQwen2[] = {{"token_embd.weight", "model.embed_tokens.weight"},
                               {"output_norm.weight", "model.norm.weight"},
                               {"output.weight", "lm_head.weight"},
                               {"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight"},
                               {"blk.{}.attn_q.weight", "model.layers.{}.self_attn.q_proj.weight"},
                               {"blk.{}.attn_q.bias", "model.layers.{}.self_attn.q_proj.bias"},
                               {"blk.{}.attn_k.weight", "model.layers.{}.self_attn.k_proj.weight"},
                               {"blk.{}.attn_k.bias", "model.layers.{}.self_attn.k_proj.bias"},
                               {"blk.{}.attn_v.weight", "model.layers.{}.self_attn.v_proj.weight"},
                               {"blk.{}.attn_v.bias", "model.layers.{}.self_attn.v_proj.bias"},
                               {"blk.{}.attn_output.weight", "model.layers.{}.self_attn.o_proj.weight"},
                               {"blk.{}.ffn_norm.weight", "model.layers.{}.post_attention_layernorm.weight"},
                               {"blk.{}.ffn_gate.weight", "model.layers.{}.mlp.gate_proj.weight"},
                               {"blk.{}.ffn_up.weight", "model.layers.{}.mlp.up_proj.weight"},
                               {"blk.{}.ffn_down.weight", "model.layers.{}.mlp.down_proj.weight"}};

constexpr GgufName kGpt2[] = {
    {"token_embd.weight", "transformer.wte.weight"},
    {"position_embd.weight", "transformer.wpe.weight"},
    {"output_norm.weight", "transformer.ln_f.weight"},
    {"output_norm.bias", "transformer.ln_f.bias"},
    {"output.weight", "lm_head.weight"},
    {"blk.{}.attn_norm.weight", "transformer.h.{}.ln_1.weight"},
    {"blk.{}.attn_norm.bias", "transformer.h.{}.ln_1.bias"},
    {"blk.{}.attn_qkv.weight", "transformer.h.{}.attn.c_attn.weight", GgufChange::kTransposed},
    {"blk.{}.attn_qkv.bias", "transformer.h.{}.attn.c_attn.bias"},
    {"blk.{}.attn_output.weight", "transformer.h.{}.attn.c_proj.weight", GgufChange::kTransposed},
    {"blk.{}.attn_output.bias", "transformer.h.{}.attn.c_proj.bias"},
    {"blk.{}.ffn_norm.weight", "transformer.h.{}.ln_2.weight"},
    {"blk.{}.ffn_norm.bias", "transformer.h.{}.ln_2.bias"},
    {"blk.{}.ffn_up.weight", "transformer.h.{}.mlp.c_fc.weight", GgufChange::kTransposed},
    {"blk.{}.ffn_up.bias", "transformer.h.{}.mlp.c_fc.bias"},
    {"blk.{}.ffn_down.weight", "transformer.h.{}.mlp.c_proj.weight", GgufChange::kTransposed},
    {"blk.{}.ffn_down.bias", "transformer.h.{}.mlp.c_proj.bias"}};

constexpr GgufFamily kFamilies[] = {
    {"llama", "llama", kLlama}, {"qwen2", "qwen2", kQwen2}, {"gpt2", "gpt2", kGpt2}};

}  // namespace

const GgufFamily* find_gguf_family(std::string_view architecture) {
  for (const GgufFamily& family : kFamilies)
    if (family.architecture == architecture) return &family;
  return nullptr;
}

std::string known_gguf_architectures() {
  std::string list;
  for (const GgufFamily& family : kFamilies)
    list += (list.empty() ? "" : ", ") + std::string(family.architecture);
  return list;
}

std::optional<TranslatedName> translate(const GgufFamily& family, std::string_view gguf) {
  for (const GgufName& row : family.names) {
    const std::size_t place = row.gguf.find(kLayer);
    if (place == row.gguf.npos) {
      if (row.gguf == gguf) return TranslatedName{std::string(row.own), row.change};
      continue;
    }
    const std::string_view head = row.gguf.substr(0, place), tail = row.gguf.substr(place + kLayer.size());
    if (gguf.size() <= head.size() + tail.size() || !gguf.starts_with(head) || !gguf.ends_with(tail))
      continue;
    const std::string_view number = gguf.substr(head.size(), gguf.size() - head.size() - tail.size());
    if (!std::ranges::all_of(number, [](char c) { return c >= '0' && c <= '9'; })) continue;
    std::string own(row.own);
    own.replace(own.find(kLayer), kLayer.size(), number);
    return TranslatedName{std::move(own), row.change};
  }
  return std::nullopt;
}

}  // namespace defectoscope
