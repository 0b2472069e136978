#include "model/rope_config.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "checkpoint/strict_json.h"

namespace defectoscope {
namespace {

using Key = std::array<std::string_view, 1>;

constexpr Key kTheta = {"rope_theta"};
constexpr Key kPartial = {"partial_rotary_factor"};
constexpr Key kOriginal = {"original_max_position_embeddings"};

double needed(const ConfigReader& reader, std::string_view key) {
  const std::optional<double> value = reader.find_positive(Key{key});
  if (!value)
    reader.fail("key missing in the model's configuration", "rope_scaling." + std::string(key), "a value",
                "none", "take config.json as it was published with the weights");
  return *value;
}

void read_llama3(const ConfigReader& reader, RopeScaling& scaling) {
  scaling.factor = needed(reader, "factor");
  scaling.low_frequency_factor = needed(reader, "low_freq_factor");
  scaling.high_frequency_factor = needed(reader, "high_freq_factor");
  if (scaling.high_frequency_factor <= scaling.low_frequency_factor)
    reader.fail("value out of range in the model's configuration", "rope_scaling.high_freq_factor",
                "more than low_freq_factor", std::to_string(scaling.high_frequency_factor));
}

/// YaRN's attention factor for one mscale (Peng et al. 2023, equation 22).
double yarn_magnitude(double factor, double mscale) {
  return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1;
}

void read_yarn(const ConfigReader& reader, bool latent_attention, RopeScaling& scaling) {
  scaling.factor = needed(reader, "factor");
  scaling.beta_fast = reader.positive(Key{"beta_fast"}, 32);
  scaling.beta_slow = reader.positive(Key{"beta_slow"}, 1);
  scaling.truncate = reader.boolean("truncate", true);
  // 0 stands for absent here.
  const auto weight = [&](std::string_view key) {
    const nlohmann::json* value = reader.find(key);
    return value != nullptr && value->is_number() && value->get<double>() == 0 ? 0
                                                                               : reader.positive(Key{key}, 0);
  };
  const double own = weight("mscale"), of_all = weight("mscale_all_dim");
  const double magnitude = own > 0 && of_all > 0
                               ? yarn_magnitude(scaling.factor, own) / yarn_magnitude(scaling.factor, of_all)
                               : yarn_magnitude(scaling.factor, 1);
  scaling.magnitude = reader.positive(Key{"attention_factor"}, magnitude);
  if (latent_attention && of_all > 0) {
    const double score = yarn_magnitude(scaling.factor, of_all);
    scaling.score_magnitude = score * score;
  }
}

/// One divisor for each of `count` frequencies.
std::vector<double> read_factors(const ConfigReader& reader, std::string_view key, Index count) {
  const nlohmann::json* list = reader.find(key);
  const auto fail = [&](const std::string& got) {
    reader.fail("wrong factors of the rope scaling", "rope_scaling." + std::string(key),
                "a list of " + std::to_string(count) + " numbers above 0, half the rotary dimensions", got);
  };
  if (list == nullptr || !list->is_array()) fail("no list");
  if (static_cast<Index>(list->size()) != count) fail(std::to_string(list->size()));
  std::vector<double> factors;
  for (const nlohmann::json& value : *list) {
    if (!value.is_number() || !(value.get<double>() > 0)) fail(shortened(value.dump()));
    factors.push_back(value.get<double>());
  }
  return factors;
}

void read_longrope(const ConfigReader& reader, const ModelConfig& config, RopeScaling& scaling) {
  scaling.short_factors = read_factors(reader, "short_factor", config.rotary_dim / 2);
  scaling.long_factors = read_factors(reader, "long_factor", config.rotary_dim / 2);
  const double extension = static_cast<double>(config.max_positions) / scaling.original_max_positions;
  scaling.factor = reader.positive(Key{"factor"}, extension);
  const double magnitude =
      scaling.factor <= 1
          ? 1
          : std::sqrt(1 + std::log(scaling.factor) / std::log(scaling.original_max_positions));
  scaling.magnitude = reader.positive(Key{"attention_factor"}, magnitude);
}

void read_scaling(const ConfigReader& reader, double original, ModelConfig& config) {
  using Kind = RopeScaling::Kind;
  RopeScaling& scaling = config.rope_scaling;
  const std::string kind =
      reader.find_text(std::array<std::string_view, 2>{"rope_type", "type"}).value_or("default");
  // The dynamic kind changes nothing up to max_positions, and nothing longer is computed here.
  if (kind == "default" || kind == "dynamic") return;
  scaling.original_max_positions = reader.positive(kOriginal, original);
  if (kind == "linear") {
    scaling.kind = Kind::kLinear;
    scaling.factor = needed(reader, "factor");
  } else if (kind == "llama3") {
    scaling.kind = Kind::kLlama3;
    read_llama3(reader, scaling);
  } else if (kind == "yarn") {
    scaling.kind = Kind::kYarn;
    read_yarn(reader, config.architecture->latent_attention, scaling);
  } else if (kind == "longrope" || kind == "su") {
    scaling.kind = Kind::kLongRope;
    read_longrope(reader, config, scaling);
  } else {
    reader.fail("rope scaling of this kind is not supported", "rope_scaling.rope_type",
                "default, dynamic, linear, llama3, yarn or longrope", kind,
                "where the model was trained without it, remove it from config.json");
  }
}

/// The settings of rotary positions: of the layers that see all, where there are two kinds.
const nlohmann::json* parameters_of(const ConfigReader& reader) {
  const nlohmann::json* parameters = nullptr;
  for (const char* key : {"rope_scaling", "rope_parameters"}) {  // the first wins where both are filled
    const nlohmann::json* value = reader.find(key);
    if (value == nullptr) continue;
    if (!value->is_object())
      reader.fail("wrong type in the model's configuration", key, "an object", "another");
    if (parameters == nullptr || parameters->empty()) parameters = value;
  }
  if (parameters == nullptr || !parameters->contains("full_attention")) return parameters;
  const nlohmann::json& full = (*parameters)["full_attention"];
  if (!full.is_object())
    reader.fail("wrong type in the model's configuration", "rope_parameters.full_attention", "an object",
                "another");
  return &full;
}

}  // namespace

void read_rope(const ConfigReader& reader, ModelConfig& config) {
  const ArchitectureSpec& row = *config.architecture;
  config.rope_base = reader.positive(row.keys.rope_base, row.default_rope_base);
  config.local_rope_base = reader
                               .find_positive(std::array<std::string_view, 2>{
                                   "rope_local_base_freq", "rope_parameters.sliding_attention.rope_theta"})
                               .value_or(row.default_local_rope_base);
  double partial = reader.positive(row.keys.rotary_fraction, row.default_rotary_fraction);
  const nlohmann::json* parameters = parameters_of(reader);
  const nlohmann::json nothing = nlohmann::json::object();
  const ConfigReader inner(parameters == nullptr ? nothing : *parameters, reader.file());
  config.rope_base = inner.positive(kTheta, config.rope_base);
  partial = inner.positive(kPartial, partial);
  if (!row.latent_attention) {  // where it is known
    const auto fraction = static_cast<Index>(std::min(partial, 2.0) * static_cast<double>(config.head_dim));
    config.rotary_dim = reader.integer(row.keys.rotary_dim, 0, config.head_dim, fraction);
  }
  if (config.rotary_dim < 2 || config.rotary_dim > config.head_dim || config.rotary_dim % 2 != 0)
    reader.fail("value out of range in the model's configuration", "head_dim",
                "an even number of rotary dimensions, 2 to head_dim",
                std::to_string(config.head_dim) + " times partial_rotary_factor " + std::to_string(partial));
  read_scaling(inner, reader.positive(kOriginal, static_cast<double>(config.max_positions)), config);
}

}  // namespace defectoscope
