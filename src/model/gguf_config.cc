#include "model/gguf_config.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace defectoscope {
namespace {

using nlohmann::json;

enum class Type { kInteger, kNumber, kFlag };

/// A key of the metadata, behind the architecture's name and a dot, and what config.json calls it.
struct Setting {
  const char* gguf;
  std::string_view own;
  Type type;
};
constexpr Setting kSettings[] = {{"attention.sliding_window", "sliding_window", Type::kInteger},
                                 {"rope.freq_base", "rope_theta", Type::kNumber},
                                 {"attn_logit_softcapping", "attn_logit_softcapping", Type::kNumber},
                                 {"final_logit_softcapping", "final_logit_softcapping", Type::kNumber},
                                 {"use_parallel_residual", "use_parallel_residual", Type::kFlag}};

class Reader {
 public:
  Reader(const GgufFiles& files, const ArchitectureSpec& row)
      : files_(files), gguf_(files.metadata()), row_(row), stem_(std::string(row.gguf.architecture) + ".") {}

  json config() {
    config_ = {{"model_type", row_.model_types.front()}};
    sizes();
    const auto eps = number("attention.layer_norm_rms_epsilon");
    put(row_.keys.norm_eps, eps ? eps : number("attention.layer_norm_epsilon"));
    for (const Setting& setting : kSettings) put(setting.own, read(setting.gguf, setting.type));
    for (const GgufSetting& setting : row_.gguf.settings)
      put(setting.own, read(std::string(setting.gguf), Type::kNumber));
    rotary();
    config_["tie_word_embeddings"] = files_.shape_of("output.weight").empty();
    put("bos_token_id", gguf_.integer("tokenizer.ggml.bos_token_id"));
    put("eos_token_id", gguf_.integer("tokenizer.ggml.eos_token_id"));
    return config_;
  }

 private:
  std::optional<std::int64_t> integer(const std::string& key) const { return gguf_.integer(stem_ + key); }
  std::optional<double> number(const std::string& key) const { return gguf_.number(stem_ + key); }
  std::optional<json> read(const std::string& key, Type type) const {
    if (!gguf_.has(stem_ + key)) return std::nullopt;
    switch (type) {
      case Type::kInteger:
        return integer(key);
      case Type::kNumber:
        return number(key);
      case Type::kFlag:
        return gguf_.flag(stem_ + key);
    }
    return std::nullopt;
  }

  template <typename T>
  void put(std::string_view own, const std::optional<T>& value) {
    if (value) config_[std::string(own)] = *value;
  }
  template <typename T>
  void put(const std::vector<std::string_view>& own, const std::optional<T>& value) {
    put(own.front(), value);
  }

  void sizes() {
    const ConfigKeys& keys = row_.keys;
    put(keys.hidden_size, integer("embedding_length"));
    put(keys.layers, integer("block_count"));
    put(keys.heads, integer("attention.head_count"));
    put(keys.kv_heads, integer("attention.head_count_kv"));
    put(keys.head_dim, integer("attention.key_length"));
    put(keys.ffn_size, integer("feed_forward_length"));
    put(keys.max_positions, integer("context_length"));
    const std::vector<Index> embedding = files_.shape_of("token_embd.weight");
    put(keys.vocab_size, embedding.empty() ? integer("vocab_size") : std::optional(embedding.front()));
  }

  void rotary() {
    const auto turned = integer("rope.dimension_count");
    const auto heads = integer("attention.head_count"), width = integer("embedding_length");
    const auto head = integer("attention.key_length")
                          .value_or(heads.value_or(0) > 0 ? width.value_or(0) / heads.value_or(1) : 0);
    // A half more, so that the product with head_dim is not rounded below the whole number.
    if (turned && head > 0 && *turned != head && *turned > 0)
      config_["partial_rotary_factor"] = (static_cast<double>(*turned) + 0.5) / static_cast<double>(head);
    const auto kind = gguf_.text(stem_ + "rope.scaling.type");
    if (kind && *kind != "none") {
      json scaling = {{"rope_type", std::string(*kind)}};
      if (const auto factor = number("rope.scaling.factor")) scaling["factor"] = *factor;
      if (const auto original = integer("rope.scaling.original_context_length"))
        scaling["original_max_position_embeddings"] = *original;
      config_["rope_scaling"] = std::move(scaling);
    }
  }

  const GgufFiles& files_;
  const GgufMetadata& gguf_;
  const ArchitectureSpec& row_;
  std::string stem_;
  json config_;
};

/// LLaMA 3.1's long contexts: the file holds what each frequency is divided by.
void read_factors(const GgufFiles& files, ModelConfig& config) {
  const std::vector<float> factors = files.values_of("rope_freqs.weight");
  if (factors.empty()) return;
  if (static_cast<Index>(factors.size()) != config.rotary_dim / 2)
    throw_bad_input({.what = "rotary factors of another number than the frequencies",
                     .file = files.metadata().file(),
                     .tensor = "rope_freqs.weight",
                     .expected = std::to_string(config.rotary_dim / 2),
                     .got = std::to_string(factors.size())});
  config.rope_scaling.kind = RopeScaling::Kind::kFactors;
  for (const float factor : factors) {
    if (!(factor > 0))
      throw_bad_input({.what = "rotary factor is no number above 0",
                       .file = files.metadata().file(),
                       .tensor = "rope_freqs.weight",
                       .got = std::to_string(factor)});
    config.rope_scaling.factors.push_back(factor);
  }
}

}  // namespace

ModelConfig gguf_config(const GgufFiles& files, const ArchitectureSpec& row) {
  const std::string text = Reader(files, row).config().dump();
  ModelConfig config = parse_config(text, files.metadata().file());
  read_factors(files, config);
  config.norm_gain_offset = 0;  // the converter has added it
  return config;
}

}  // namespace defectoscope
