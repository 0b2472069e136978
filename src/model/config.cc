#include "model/config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "checkpoint/strict_json.h"
#include "model/config_reader.h"
#include "model/layer_rules.h"
#include "model/rope_config.h"

namespace defectoscope {
namespace {

using Key = std::array<std::string_view, 1>;

// Far above any model, and low enough that no product of three sizes overflows 63 bits.
constexpr Index kMaxWidth = Index{1} << 20;
constexpr Index kMaxFfn = Index{1} << 24;
constexpr Index kMaxLayers = 10'000;
constexpr Index kMaxHeads = Index{1} << 16;
constexpr Index kMaxVocabulary = Index{1} << 28;
constexpr Index kMaxPositions = Index{1} << 40;

struct NamedActivation {
  std::string_view name;
  Activation activation;
};
constexpr std::array<NamedActivation, 11> kActivations = {{{"silu", Activation::kSilu},
                                                           {"swish", Activation::kSilu},
                                                           {"gelu", Activation::kGeluErf},
                                                           {"gelu_python", Activation::kGeluErf},
                                                           {"gelu_new", Activation::kGeluTanh},
                                                           {"gelu_fast", Activation::kGeluTanh},
                                                           {"gelu_pytorch_tanh", Activation::kGeluTanh},
                                                           {"quick_gelu", Activation::kQuickGelu},
                                                           {"relu", Activation::kRelu},
                                                           {"relu2", Activation::kRelu2},
                                                           {"squared_relu", Activation::kRelu2}}};

Activation read_activation(const ConfigReader& reader, const ArchitectureSpec& row) {
  const std::string name =
      reader.find_text(row.keys.activation).value_or(std::string(row.default_activation));
  const auto* const found = std::ranges::find(kActivations, name, &NamedActivation::name);
  if (found != kActivations.end()) return found->activation;
  std::string known;
  for (const NamedActivation& entry : kActivations)
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  reader.fail("unknown activation function", row.keys.activation.empty() ? "" : row.keys.activation[0], known,
              shortened(name));
}

bool holds(const ConfigReader& reader, const FixedSetting& setting) {
  const nlohmann::json* value = reader.find(setting.key);
  return value != nullptr && value->dump() == setting.value;
}

/// The form of the family that the settings call for, or the usual one.
const ArchitectureSpec* choose_form(const ConfigReader& reader, const ArchitectureSpec* usual) {
  for (const ArchitectureSpec& row : architectures())
    if (row.name == usual->name && !row.when.empty() && row.model_types == usual->model_types &&
        std::ranges::all_of(row.when, [&](const FixedSetting& setting) { return holds(reader, setting); }))
      return &row;
  return usual;
}

const ArchitectureSpec& find_row(const ConfigReader& reader, std::string_view family, ModelConfig& config) {
  const std::optional<std::string> type =
      family.empty() ? reader.find_text(Key{"model_type"}) : std::optional(std::string(family));
  constexpr const char* kHint =
      "--family NAME computes with the form of one of these, where the model is built like it";
  if (!type)
    reader.fail("key missing in the model's configuration", "model_type", "one of " + known_model_types(),
                "none", std::string("take config.json as it was published with the weights; ") + kHint);
  const ArchitectureSpec* row = find_architecture(*type);
  if (row == nullptr && !family.empty())
    throw Error(ErrorKind::kUsage,
                "--family " + shortened(*type) + " is not known: it takes one of " + known_model_types());
  if (row == nullptr)
    reader.fail("unknown model family", "model_type", "one of " + known_model_types(), shortened(*type),
                kHint);
  config.model_type = reader.find_text(Key{"model_type"}).value_or(*type);
  return *choose_form(reader, row);
}

/// Heads of latent attention are a part without and a part with positions, the latter last.
void read_latents(const ConfigReader& reader, ModelConfig& config) {
  config.kv_heads = config.heads;
  config.rotary_dim = reader.integer(Key{"qk_rope_head_dim"}, 2, kMaxHeads);
  config.head_dim = config.rotary_dim + reader.integer(Key{"qk_nope_head_dim"}, 1, kMaxHeads);
  config.value_dim = reader.integer(Key{"v_head_dim"}, 1, kMaxHeads);
  config.kv_latent = reader.integer(Key{"kv_lora_rank"}, 1, kMaxWidth);
  config.query_latent = reader.integer(Key{"q_lora_rank"}, 1, kMaxWidth, 0);
}

void read_sizes(const ConfigReader& reader, ModelConfig& config) {
  const ArchitectureSpec& row = *config.architecture;
  config.hidden_size = reader.integer(row.keys.hidden_size, 1, kMaxWidth);
  config.layers = reader.integer(row.keys.layers, 1, kMaxLayers);
  config.heads = reader.integer(row.keys.heads, 1, kMaxHeads);
  const Index default_kv_heads = row.default_kv_heads > 0 ? row.default_kv_heads : config.heads;
  config.kv_heads = reader.integer(row.keys.kv_heads, 1, kMaxHeads, default_kv_heads);
  if (config.heads % config.kv_heads != 0)
    reader.fail("query heads do not divide among key-value heads", row.keys.kv_heads[0],
                "a divisor of " + std::to_string(config.heads) + " (" + std::string(row.keys.heads[0]) + ")",
                std::to_string(config.kv_heads));
  const std::optional<Index> head_dim = reader.find_integer(row.keys.head_dim, 1, kMaxHeads);
  if (!head_dim && row.default_head_dim == 0 && !row.latent_attention &&
      config.hidden_size % config.heads != 0)
    reader.fail("hidden size does not divide among heads", row.keys.heads[0],
                "a divisor of " + std::to_string(config.hidden_size) + " (" +
                    std::string(row.keys.hidden_size[0]) + "), or head_dim",
                std::to_string(config.heads));
  config.head_dim =
      head_dim.value_or(row.default_head_dim > 0 ? row.default_head_dim : config.hidden_size / config.heads);
  if (row.latent_attention) read_latents(reader, config);
  if (config.query_size() > kMaxFfn)
    reader.fail("value out of range in the model's configuration", row.keys.head_dim[0],
                "at most " + std::to_string(kMaxFfn) + " rows in all heads",
                std::to_string(config.query_size()));
  config.ffn_size = row.ffn_factor > 0
                        ? reader.integer(row.keys.ffn_size, 1, kMaxFfn, row.ffn_factor * config.hidden_size)
                        : reader.integer(row.keys.ffn_size, 1, kMaxFfn);
  config.vocab_size = reader.integer(row.keys.vocab_size, 1, kMaxVocabulary);
  const Index reserved = row.offset_within_positions ? row.position_offset : 0;
  config.max_positions =
      (row.default_max_positions > 0
           ? reader.integer(row.keys.max_positions, 1 + reserved, kMaxPositions, row.default_max_positions)
           : reader.integer(row.keys.max_positions, 1 + reserved, kMaxPositions)) -
      reserved;
  config.embedding_size = reader.integer(row.keys.embedding_size, 1, kMaxWidth, config.hidden_size);
  if (!row.names.token_type_embedding.empty())
    config.token_types = reader.integer(row.keys.token_types, 1, kMaxWidth, 2);
}

std::optional<Index> read_token(const ConfigReader& reader, std::string_view key) {
  const nlohmann::json* value = reader.find(key);
  // Llama 3 lists several end tokens, the first of which ends a text.
  if (value != nullptr && value->is_array()) value = value->empty() ? nullptr : &value->front();
  if (value == nullptr || !value->is_number_integer()) return std::nullopt;
  const auto token = value->get<Index>();
  if (token < 0) return std::nullopt;
  return token;
}

void read_biases(const ConfigReader& reader, ModelConfig& config) {
  const BiasRules& rules = config.architecture->biases;
  const auto says = [&](std::string_view key) { return !key.empty() && reader.boolean(key, false); };
  const bool attention = says(rules.attention_key);
  config.qkv_bias_required = attention || rules.qkv == BiasRule::kRequired;
  config.attention_output_bias_required = attention || rules.attention_output == BiasRule::kRequired;
  config.ffn_bias_required = says(rules.ffn_key) || rules.ffn == BiasRule::kRequired;
}

void read_scales(const ConfigReader& reader, ModelConfig& config) {
  const ArchitectureSpec& row = *config.architecture;
  const ScaleKeys& keys = row.scales;
  const auto number = [&](std::string_view key, double otherwise) {
    return key.empty() ? otherwise : reader.positive(Key{key}, otherwise);
  };
  config.embedding_scale =
      row.embedding_times_root_width ? std::sqrt(static_cast<double>(config.hidden_size)) : 1;
  config.embedding_scale *= number(keys.embedding, 1);
  config.residual_scale = number(keys.residual, 1);
  config.logit_scale = number(keys.logits, 1) / number(keys.logits_divisor, 1);
  const double root = std::sqrt(number(keys.attention_root, static_cast<double>(config.head_dim)));
  config.attention_scale = row.unscaled_attention ? 1 : number(keys.attention, 1 / root);
  config.attention_scale *= config.rope_scaling.score_magnitude;
  config.attention_soft_cap = number(keys.attention_soft_cap, 0);
  config.logit_soft_cap = number(keys.logit_soft_cap, 0);
  config.qkv_limit = number(keys.qkv_limit, 0);
}

void check_fixed(const ConfigReader& reader, const ArchitectureSpec& row) {
  for (const FixedSetting& setting : row.fixed) {
    const nlohmann::json* value = reader.find(setting.key);
    if (value != nullptr && !holds(reader, setting))
      reader.fail("setting not supported", setting.key, std::string(setting.value), shortened(value->dump()));
  }
}

}  // namespace

Index ModelConfig::window_of(Index layer_index) const {
  if (layer_is_windowed.empty()) return sliding_window;
  return layer_is_windowed[static_cast<std::size_t>(layer_index)] ? sliding_window : 0;
}

bool ModelConfig::has_rotary() const {
  return architecture->position == PositionKind::kRotaryHalf ||
         architecture->position == PositionKind::kRotaryInterleaved;
}

bool ModelConfig::is_rotary(Index layer_index) const {
  return has_rotary() && (layer_is_rotary.empty() || layer_is_rotary[static_cast<std::size_t>(layer_index)]);
}

ModelConfig parse_config(std::string_view json, const std::string& file, std::string_view family) {
  const nlohmann::json document = parse_strict_json(json, file);
  if (!document.is_object())
    throw_bad_input({.what = "the model's configuration is no object",
                     .file = file,
                     .expected = "{\"model_type\": ..., ...}",
                     .got = document.type_name()});
  const ConfigReader reader(document, file);
  ModelConfig config;
  const ArchitectureSpec& row = find_row(reader, family, config);
  config.architecture = &row;
  check_fixed(reader, row);
  read_sizes(reader, config);
  config.norm_eps = reader.positive(row.keys.norm_eps, row.default_norm_eps);
  config.norm_gain_offset = row.norm_gain_offset;
  config.activation = read_activation(reader, row);
  if (config.has_rotary()) read_rope(reader, config);
  config.experts = read_experts(reader, row, config.layers);
  if (!row.clamp_key.empty()) config.ffn_clamp = reader.positive(Key{row.clamp_key}, 7);
  read_layer_rules(reader, config);
  read_scales(reader, config);
  if (row.qk_norm_key.empty() || reader.boolean(row.qk_norm_key, false)) config.qk_norm = row.qk_norm;
  config.causal = reader.boolean("is_causal", row.causal);
  read_biases(reader, config);
  config.tied_embeddings = reader.boolean("tie_word_embeddings", row.tied_by_default);
  config.bos_token = read_token(reader, "bos_token_id");
  config.eos_token = read_token(reader, "eos_token_id");
  config.torch_dtype = reader.find_text(std::array<std::string_view, 2>{"torch_dtype", "dtype"}).value_or("");
  return config;
}

}  // namespace defectoscope
