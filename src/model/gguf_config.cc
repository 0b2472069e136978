#include "model/gguf_config.h"

#include <algorithm>
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
constexpr Setting kSettings[] = {{"rope.freq_base", "rope_theta", Type::kNumber},
                                 {"attn_logit_softcapping", "attn_logit_softcapping", Type::kNumber},
                                 {"final_logit_softcapping", "final_logit_softcapping", Type::kNumber},
                                 {"use_parallel_residual", "use_parallel_residual", Type::kFlag},
                                 {"expert_used_count", "num_experts_per_tok", Type::kInteger},
                                 {"leading_dense_block_count", "first_k_dense_replace", Type::kInteger},
                                 {"expert_group_count", "n_group", Type::kInteger},
                                 {"expert_group_used_count", "topk_group", Type::kInteger},
                                 {"attention.q_lora_rank", "q_lora_rank", Type::kInteger},
                                 {"attention.kv_lora_rank", "kv_lora_rank", Type::kInteger}};

constexpr Index kMostLayers = 10'000;
constexpr std::string_view kScaling = "rope_scaling.";

class Reader {
 public:
  Reader(const GgufFiles& files, const ArchitectureSpec& row)
      : files_(files), gguf_(files.metadata()), row_(row), stem_(std::string(row.gguf.architecture) + ".") {}

  json config() {
    config_ = {{"model_type", row_.model_types.front()}};
    for (const FixedSetting& setting : row_.when) put(setting.key, std::optional(json::parse(setting.value)));
    sizes();
    experts();
    const auto eps = number("attention.layer_norm_rms_epsilon");
    put(row_.keys.norm_eps, eps ? eps : number("attention.layer_norm_epsilon"));
    for (const Setting& setting : kSettings) put(setting.own, read(setting.gguf, setting.type));
    for (const GgufSetting& setting : row_.gguf.settings)
      put(setting.own, read(std::string(setting.gguf), Type::kNumber));
    windows();
    rotary();
    forms();
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
    if (!value) return;
    json* object = &config_;  // "attn_config.clip_qkv" stands within an object
    for (std::size_t dot = own.find('.'); dot != own.npos; dot = own.find('.')) {
      object = &(*object)[std::string(own.substr(0, dot))];
      own.remove_prefix(dot + 1);
    }
    (*object)[std::string(own)] = *value;
  }
  template <typename T>
  void put(const std::vector<std::string_view>& own, const std::optional<T>& value) {
    if (!own.empty()) put(own.front(), value);
  }

  void sizes() {
    const ConfigKeys& keys = row_.keys;
    put(keys.hidden_size, integer("embedding_length"));
    put(keys.layers, integer("block_count"));
    put(keys.heads, integer("attention.head_count"));
    put(keys.kv_heads, integer("attention.head_count_kv"));
    if (row_.latent_attention)
      latents();
    else
      put(keys.head_dim, integer("attention.key_length"));
    put(keys.ffn_size, integer("feed_forward_length"));
    put(keys.max_positions, integer("context_length"));
    const std::vector<Index> embedding = files_.shape_of("token_embd.weight");
    put(keys.vocab_size, embedding.empty() ? integer("vocab_size") : std::optional(embedding.front()));
    if (const std::vector<Index> types = files_.shape_of("token_types.weight"); !types.empty())
      put(keys.token_types, std::optional(types.front()));
  }

  /// Keys as long as the parts without and with positions; newer files say what llama.cpp computes instead,
  /// one key of the latent's length, and this beside it.
  void latents() {
    const auto key = integer("attention.key_length_mla"), length = integer("attention.key_length");
    const auto value = integer("attention.value_length_mla"), other = integer("attention.value_length");
    const auto turned = integer("rope.dimension_count");
    put("qk_rope_head_dim", turned);
    if (const auto whole = key ? key : length; whole && turned && *turned > 0 && *whole > *turned)
      put("qk_nope_head_dim", std::optional(*whole - *turned));
    put("v_head_dim", value ? value : other);
  }

  void experts() {
    const ExpertSpec& spec = row_.experts;
    if (spec.spellings.empty()) return;
    put(spec.count_keys, integer("expert_count"));
    put(spec.size_keys, integer("expert_feed_forward_length"));
    put(spec.shared_size_keys, integer("expert_shared_feed_forward_length"));
    put(spec.shared_count_keys, integer("expert_shared_count"));
    if (!spec.scale_key.empty()) put(spec.scale_key, number("expert_weights_scale"));
    if (!spec.normalized_key.empty()) put(spec.normalized_key, gguf_.flag(stem_ + "expert_weights_norm"));
    if (spec.layers != SparseLayers::kEveryNth) return;
    json dense = json::array();
    const Index layers = integer("block_count").value_or(0);
    for (Index layer = 0; layer < std::min(layers, kMostLayers); ++layer)
      if (files_.shape_of("blk." + std::to_string(layer) + ".ffn_gate_inp.weight").empty())
        dense.push_back(layer);
    if (std::ssize(dense) < layers) config_["mlp_only_layers"] = std::move(dense);
  }

  /// What the family's own files say and these show, or what is the same in all of them.
  void forms() {
    if (!row_.qk_norm_key.empty())
      config_[std::string(row_.qk_norm_key)] = !files_.shape_of("blk.0.attn_q_norm.weight").empty();
    const auto layers = integer("block_count"), width = integer("embedding_length");
    const auto heads = integer("attention.head_count");
    if (row_.gguf.root_by_width_layers > 0 && layers == row_.gguf.root_by_width_layers &&
        heads.value_or(0) > 0)
      put(row_.scales.attention_root,
          std::optional(static_cast<double>(width.value_or(1)) / static_cast<double>(*heads)));
    for (const FixedSetting& setting : row_.gguf.says)
      if (!setting.key.starts_with(kScaling) || config_.contains("rope_scaling"))
        put(setting.key, std::optional(json::parse(setting.value)));
  }

  /// A window of 0 is none (Phi-4). Which layers have one, newer files list or say by a period, of every
  /// how many layers the last has none; in others the family's usual layers have it.
  void windows() {
    const auto window = integer("attention.sliding_window");
    if (!window) return;
    config_["sliding_window"] = *window == 0 ? json() : json(*window);
    const std::string key = stem_ + "attention.sliding_window_pattern";
    if (!gguf_.has(key)) return;
    if (!gguf_.is_array(key)) return put(row_.keys.window_pattern, gguf_.integer(key));
    json kinds = json::array();
    for (const double windowed : gguf_.numbers(key))
      kinds.push_back(windowed != 0 ? "sliding_attention" : "full_attention");
    config_["layer_types"] = std::move(kinds);
  }

  void rotary() {
    const auto turned = integer("rope.dimension_count");
    const auto heads = integer("attention.head_count"), width = integer("embedding_length");
    const auto head = integer("attention.key_length")
                          .value_or(heads.value_or(0) > 0 ? width.value_or(0) / heads.value_or(1) : 0);
    const std::vector<float> far = files_.values_of("rope_factors_long.weight");
    // A half more, so that the product with head_dim is not rounded below the whole number.
    if (!row_.latent_attention && turned && head > 0 && *turned != head && *turned > 0)
      config_["partial_rotary_factor"] = (static_cast<double>(*turned) + 0.5) / static_cast<double>(head);
    const auto kind = gguf_.text(stem_ + "rope.scaling.type");
    if (!far.empty() || (kind && *kind != "none")) {
      json scaling = {{"rope_type", far.empty() ? std::string(*kind) : "longrope"}};
      if (!far.empty()) {
        scaling["long_factor"] = far;
        scaling["short_factor"] = files_.values_of("rope_factors_short.weight");
        if (const auto magnitude = number("rope.scaling.attn_factor"))
          scaling["attention_factor"] = *magnitude;
      }
      if (const auto fast = number("rope.scaling.yarn_beta_fast")) scaling["beta_fast"] = *fast;
      if (const auto slow = number("rope.scaling.yarn_beta_slow")) scaling["beta_slow"] = *slow;
      // A tenth of DeepSeek's mscale and mscale_all_dim, which are the same.
      if (const auto tenth = number("rope.scaling.yarn_log_multiplier"))
        scaling["mscale"] = scaling["mscale_all_dim"] = 10 * *tenth;
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
