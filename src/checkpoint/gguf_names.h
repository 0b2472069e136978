#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace defectoscope {

/// What llama.cpp's converter does to a tensor beside naming it; undone on reading.
enum class GgufChange {
  kNone,
  kPermutedQuery,  ///< each head's rows interleaved: row 2i + s of a head was its row s * head_dim / 2 + i
  kPermutedKey,    ///< the same for the key-value heads
  kTransposed      ///< stored [out, in], where the family's own files have [in, out]
};

/// `{}` stands for the 0-based layer number in both names.
struct GgufName {
  std::string_view gguf;
  std::string_view own;  ///< as the family's Hugging Face files spell it
  GgufChange change = GgufChange::kNone;
};

/// A family by llama.cpp's name for it.
struct GgufFamily {
  std::string_view architecture;  ///< general.architecture, and the prefix of its keys
  std::string_view model_type;    ///< config.json's
  std::span<const GgufName> names;
};

/// nullptr where we do not read that architecture.
const GgufFamily* find_gguf_family(std::string_view architecture);
/// "llama, qwen2, gpt2", for messages.
std::string known_gguf_architectures();

struct TranslatedName {
  std::string name;
  GgufChange change = GgufChange::kNone;
};
/// "blk.3.attn_q.weight" → "model.layers.3.self_attn.q_proj.weight"; nullopt for a name the family has not.
std::optional<TranslatedName> translate(const GgufFamily& family, std::string_view gguf);

}  // namespace defectoscope
