#include "model/config.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "checkpoint/strict_json.h"
#include "model/config_reader.h"
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

const ArchitectureSpec& find_row(const ConfigReader& reader, ModelConfig& config) {
  const std::optional<std::string> type = reader.find_text(Key{"model_type"});
  if (!type)
    reader.fail("key missing in the model's configuration", "model_type", "one of " + known_model_types(),
                "none", "take config.json as it was published with the weights");
  const ArchitectureSpec* row = find_architecture(*type);
  if (row == nullptr)
    reader.fail("unknown model family", "model_type", "one of " + known_model_types(), shortened(*type));
  config.model_type = *type;
  return *row;
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
  if (!head_dim && !row.latent_attention && config.hidden_size % config.heads != 0)
    reader.fail("hidden size does not divide among heads", row.keys.heads[0],
                "a divisor of " + std::to_string(config.hidden_size) + " (" +
                    std::string(row.keys.hidden_size[0]) + "), or head_dim",
                std::to_string(config.heads));
  config.head_dim = head_dim.value_or(config.hidden_size / config.heads);
  if (row.latent_attention) read_latents(reader, config);
  if (config.query_size() > kMaxFfn)
    reader.fail("value out of range in the model's configuration", row.keys.head_dim[0],
                "at most " + std::to_string(kMaxFfn) + " rows in all heads",
                std::to_string(config.query_size()));
  config.ffn_size = row.ffn_factor > 0
                        ? reader.integer(row.keys.ffn_size, 1, kMaxFfn, row.ffn_factor * config.hidden_size)
                        : reader.integer(row.keys.ffn_size, 1, kMaxFfn);
  config.vocab_size = reader.integer(row.keys.vocab_size, 1, kMaxVocabulary);
  config.max_positions = reader.integer(row.keys.max_positions, 1, kMaxPositions);
}

void read_window(const ConfigReader& reader, ModelConfig& config) {
  const ArchitectureSpec& row = *config.architecture;
  if (row.window == WindowRule::kNone) return;
  if (row.window == WindowRule::kSwitchedLayers && !reader.boolean("use_sliding_window", false)) return;
  // Unlike elsewhere an explicit null is a value here: no window.
  const bool said = reader.has("sliding_window");
  const Index window = reader.integer(Key{"sliding_window"}, 1, kMaxPositions, said ? 0 : row.default_window);
  if (window == 0) return;
  config.sliding_window = window;
  if (row.window == WindowRule::kEveryLayer) return;
  const bool listed = row.window == WindowRule::kListedLayers;
  config.layer_is_windowed.resize(static_cast<std::size_t>(config.layers));
  const nlohmann::json* types = reader.find("layer_types");
  if (types == nullptr) {
    const Index first = listed ? 0 : reader.integer(Key{"max_window_layers"}, 0, kMaxLayers, 28);
    for (Index i = 0; i < config.layers; ++i)
      config.layer_is_windowed[static_cast<std::size_t>(i)] = listed ? i % 2 == 0 : i >= first;
    return;
  }
  if (!types->is_array() || static_cast<Index>(types->size()) != config.layers)
    reader.fail("wrong layer_types in the model's configuration", "layer_types",
                "a list of " + std::to_string(config.layers) + " texts, one a layer",
                types->is_array() ? std::to_string(types->size()) : "no list");
  for (std::size_t i = 0; i < types->size(); ++i) {
    const nlohmann::json& type = (*types)[i];
    const std::string kind = type.is_string() ? type.get<std::string>() : type.dump();
    const bool windowed = kind == "sliding_attention";
    if (!windowed && kind != "full_attention")
      reader.fail("unknown kind of layer", "layer_types", "sliding_attention or full_attention",
                  shortened(kind));
    config.layer_is_windowed[i] = windowed;
  }
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

void check_fixed(const ConfigReader& reader, const ArchitectureSpec& row) {
  for (const FixedSetting& setting : row.fixed) {
    const nlohmann::json* value = reader.find(setting.key);
    if (value != nullptr && value->dump() != setting.value)
      reader.fail("setting not supported", setting.key, std::string(setting.value), shortened(value->dump()));
  }
}

}  // namespace

Index ModelConfig::window_of(Index layer_index) const {
  if (layer_is_windowed.empty()) return sliding_window;
  return layer_is_windowed[static_cast<std::size_t>(layer_index)] ? sliding_window : 0;
}

ModelConfig parse_config(std::string_view json, const std::string& file) {
  const nlohmann::json document = parse_strict_json(json, file);
  if (!document.is_object())
    throw_bad_input({.what = "the model's configuration is no object",
                     .file = file,
                     .expected = "{\"model_type\": ..., ...}",
                     .got = document.type_name()});
  const ConfigReader reader(document, file);
  ModelConfig config;
  const ArchitectureSpec& row = find_row(reader, config);
  config.architecture = &row;
  check_fixed(reader, row);
  read_sizes(reader, config);
  config.norm_eps = reader.positive(row.keys.norm_eps, row.default_norm_eps);
  config.norm_gain_offset = row.norm_gain_offset;
  config.activation = read_activation(reader, row);
  if (row.position == PositionKind::kRotaryHalf || row.position == PositionKind::kRotaryInterleaved)
    read_rope(reader, config);
  config.experts = read_experts(reader, row, config.layers);
  if (!row.clamp_key.empty()) config.ffn_clamp = reader.positive(Key{row.clamp_key}, 7);
  read_window(reader, config);
  read_biases(reader, config);
  config.tied_embeddings = reader.boolean("tie_word_embeddings", row.tied_by_default);
  config.bos_token = read_token(reader, "bos_token_id");
  config.eos_token = read_token(reader, "eos_token_id");
  config.torch_dtype = reader.find_text(std::array<std::string_view, 2>{"torch_dtype", "dtype"}).value_or("");
  return config;
}

}  // namespace defectoscope
