#include "model/layer_rules.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "checkpoint/strict_json.h"

namespace defectoscope {
namespace {

using Key = std::array<std::string_view, 1>;

constexpr Index kMaxLength = Index{1} << 40;

/// A list of one entry a layer; nullptr where the key is absent.
const nlohmann::json* layer_list(const ConfigReader& reader, std::string_view key, Index layers) {
  const nlohmann::json* list = reader.find(key);
  if (list == nullptr) return nullptr;
  if (!list->is_array() || static_cast<Index>(list->size()) != layers)
    reader.fail("wrong " + std::string(key) + " in the model's configuration", key,
                "a list of " + std::to_string(layers) + " entries, one a layer",
                list->is_array() ? std::to_string(list->size()) : "no list");
  return list;
}

std::optional<std::vector<bool>> windowed_by_type(const ConfigReader& reader, Index layers) {
  const nlohmann::json* types = layer_list(reader, "layer_types", layers);
  if (types == nullptr) return std::nullopt;
  std::vector<bool> windowed;
  for (const nlohmann::json& type : *types) {
    const std::string kind = type.is_string() ? type.get<std::string>() : type.dump();
    windowed.push_back(kind == "sliding_attention");
    if (!windowed.back() && kind != "full_attention")
      reader.fail("unknown kind of layer", "layer_types", "sliding_attention or full_attention",
                  shortened(kind));
  }
  return windowed;
}

/// All but every `period`-th; none for period 0.
std::vector<bool> all_but_every(Index period, Index layers) {
  std::vector<bool> rest;
  for (Index i = 1; i <= layers; ++i) rest.push_back(period > 0 && i % period != 0);
  return rest;
}

/// "LLLG": L for a windowed layer, over and over, the last layer seeing all; or the number of the period.
std::vector<bool> windowed_by_pattern(const ConfigReader& reader, const ModelConfig& config) {
  const ArchitectureSpec& row = *config.architecture;
  for (const std::string_view key : row.keys.window_pattern) {
    const nlohmann::json* value = reader.find(key);
    if (value == nullptr || !value->is_string()) continue;
    const auto text = value->get<std::string>();
    if (text.empty() || text.find_first_not_of("LG") != text.npos)
      reader.fail("unknown pattern of windows", key, "L (local) and G (global) layers, as LLLG",
                  shortened(text));
    std::vector<bool> windowed;
    for (Index i = 0; i < config.layers; ++i)
      windowed.push_back(text[static_cast<std::size_t>(i) % text.size()] == 'L' && i + 1 < config.layers);
    return windowed;
  }
  const Index period = reader.integer(row.keys.window_pattern, 0, 1000, row.default_window_pattern);
  return all_but_every(period, config.layers);
}

/// GPT-Neo: [[["global", "local"], 12]], each list of kinds so many times; attention_layers spells it out.
std::vector<bool> windowed_by_attention_types(const ConfigReader& reader, Index layers) {
  constexpr std::string_view kKey = "attention_types";
  std::vector<bool> windowed;
  const auto add = [&](const nlohmann::json& kind) {
    if (kind != "local" && kind != "global")
      reader.fail("unknown kind of layer", kKey, "local or global", shortened(kind.dump()));
    windowed.push_back(kind == "local");
  };
  if (const nlohmann::json* list = layer_list(reader, "attention_layers", layers)) {
    for (const nlohmann::json& kind : *list) add(kind);
    return windowed;
  }
  const nlohmann::json* types = reader.find(kKey);
  const auto malformed = [&](const std::string& got) {
    reader.fail("wrong attention_types in the model's configuration", kKey,
                "[[[\"global\", \"local\"], n]] for " + std::to_string(layers) + " layers in all", got);
  };
  if (types == nullptr) {
    for (Index i = 0; i < layers; ++i) windowed.push_back(i % 2 == 1);
    return windowed;
  }
  if (!types->is_array()) malformed("no list");
  for (const nlohmann::json& group : *types) {
    if (!group.is_array() || group.size() != 2 || !group[0].is_array() || !group[1].is_number_unsigned())
      malformed(shortened(group.dump()));
    const auto times = group[1].get<std::uint64_t>();
    if (times > static_cast<std::uint64_t>(layers)) malformed(std::to_string(times) + " times");
    for (std::uint64_t i = 0; i < times && static_cast<Index>(windowed.size()) <= layers; ++i)
      for (const nlohmann::json& kind : group[0]) add(kind);
  }
  if (static_cast<Index>(windowed.size()) != layers) malformed(std::to_string(windowed.size()) + " layers");
  return windowed;
}

void read_windows(const ConfigReader& reader, ModelConfig& config) {
  const ArchitectureSpec& row = *config.architecture;
  if (row.window == WindowRule::kNone) return;
  if (row.window == WindowRule::kSwitchedLayers && !reader.boolean("use_sliding_window", false)) return;
  // Unlike elsewhere an explicit null is a value here: no window.
  const bool said = reader.has(row.keys.sliding_window[0]);
  const Index window = reader.integer(row.keys.sliding_window, 1, kMaxLength, said ? 0 : row.default_window);
  if (window == 0) return;
  config.sliding_window = window;
  switch (row.window) {
    case WindowRule::kNone:
    case WindowRule::kEveryLayer:
      return;
    case WindowRule::kAttentionTypes:
      config.layer_is_windowed = windowed_by_attention_types(reader, config.layers);
      return;
    case WindowRule::kSwitchedLayers:
    case WindowRule::kPattern:
      break;
  }
  if (std::optional<std::vector<bool>> types = windowed_by_type(reader, config.layers)) {
    config.layer_is_windowed = std::move(*types);
    return;
  }
  if (row.window == WindowRule::kPattern) {
    config.layer_is_windowed = windowed_by_pattern(reader, config);
    return;
  }
  const Index first = reader.integer(Key{"max_window_layers"}, 0, kMaxLength, 28);
  for (Index i = 0; i < config.layers; ++i) config.layer_is_windowed.push_back(i >= first);
}

void read_rotary_layers(const ConfigReader& reader, ModelConfig& config) {
  switch (config.architecture->rotary) {
    case RotaryRule::kEveryLayer:
      return;
    case RotaryRule::kWindowedLayers:
      config.layer_is_rotary = config.layer_is_windowed;
      return;
    case RotaryRule::kListedLayers:
      break;
  }
  const nlohmann::json* list = layer_list(reader, "no_rope_layers", config.layers);
  if (list == nullptr) {
    config.layer_is_rotary =
        all_but_every(reader.integer(Key{"no_rope_layer_interval"}, 1, kMaxLength, 4), config.layers);
    return;
  }
  for (const nlohmann::json& turned : *list) {
    if (turned != 0 && turned != 1)
      reader.fail("wrong no_rope_layers in the model's configuration", "no_rope_layers",
                  "1 where the layer turns, 0 where it does not", shortened(turned.dump()));
    config.layer_is_rotary.push_back(turned == 1);
  }
}

}  // namespace

void read_layer_rules(const ConfigReader& reader, ModelConfig& config) {
  read_windows(reader, config);
  if (config.has_rotary()) read_rotary_layers(reader, config);
}

}  // namespace defectoscope
