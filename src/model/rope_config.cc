#include "model/rope_config.h"

#include <array>
#include <cmath>

namespace defectoscope {
namespace {

using Key = std::array<std::string_view, 1>;

constexpr Key kTheta = {"rope_theta"};
constexpr Key kFactor = {"factor"};
constexpr Key kPartial = {"partial_rotary_factor"};

double needed(const ConfigReader& reader, std::string_view key) {
  const std::optional<double> value = reader.find_positive(Key{key});
  if (!value)
    reader.fail("key missing in the model's configuration", "rope_scaling." + std::string(key), "a value",
                "none", "take config.json as it was published with the weights");
  return *value;
}

double yarn_magnitude(double factor, double weight) {
  return factor <= 1 ? 1 : 0.1 * weight * std::log(factor) + 1;
}

void read_yarn(const ConfigReader& reader, ModelConfig& config) {
  RopeScaling& scaling = config.rope_scaling;
  scaling.kind = RopeScaling::Kind::kYarn;
  scaling.factor = needed(reader, kFactor[0]);
  scaling.original_max_positions =
      reader.positive(Key{"original_max_position_embeddings"}, static_cast<double>(config.max_positions));
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
  scaling.magnitude = own > 0 && of_all > 0
                          ? yarn_magnitude(scaling.factor, own) / yarn_magnitude(scaling.factor, of_all)
                          : yarn_magnitude(scaling.factor, 1);
  scaling.magnitude = reader.positive(Key{"attention_factor"}, scaling.magnitude);
  if (config.architecture->latent_attention && of_all > 0) {
    const double magnitude = yarn_magnitude(scaling.factor, of_all);
    scaling.score_magnitude = magnitude * magnitude;
  }
}

void read_scaling(const ConfigReader& reader, ModelConfig& config) {
  RopeScaling& scaling = config.rope_scaling;
  const std::string kind =
      reader.find_text(std::array<std::string_view, 2>{"rope_type", "type"}).value_or("default");
  // The dynamic kind changes nothing up to max_positions, and nothing longer is computed here.
  if (kind == "default" || kind == "dynamic") return;
  if (kind == "linear") {
    scaling.kind = RopeScaling::Kind::kLinear;
    scaling.factor = needed(reader, kFactor[0]);
    return;
  }
  if (kind == "yarn") return read_yarn(reader, config);
  if (kind != "llama3")
    reader.fail("rope scaling of this kind is not supported", "rope_scaling.rope_type",
                "default, dynamic, linear, llama3 or yarn", kind,
                "where the model was trained without it, remove it from config.json");
  scaling.kind = RopeScaling::Kind::kLlama3;
  scaling.factor = needed(reader, kFactor[0]);
  scaling.low_frequency_factor = needed(reader, "low_freq_factor");
  scaling.high_frequency_factor = needed(reader, "high_freq_factor");
  scaling.original_max_positions =
      reader.positive(Key{"original_max_position_embeddings"}, static_cast<double>(config.max_positions));
  if (scaling.high_frequency_factor <= scaling.low_frequency_factor)
    reader.fail("value out of range in the model's configuration", "rope_scaling.high_freq_factor",
                "more than low_freq_factor", std::to_string(scaling.high_frequency_factor));
}

}  // namespace

void read_rope(const ConfigReader& reader, ModelConfig& config) {
  config.rope_base = reader.positive(kTheta, 10000);
  double partial = reader.positive(kPartial, 1);
  const nlohmann::json* parameters = nullptr;
  for (const char* key : {"rope_scaling", "rope_parameters"}) {  // the first wins where both are filled
    const nlohmann::json* value = reader.find(key);
    if (value == nullptr) continue;
    if (!value->is_object())
      reader.fail("wrong type in the model's configuration", key, "an object", "another");
    if (parameters == nullptr || parameters->empty()) parameters = value;
  }
  if (parameters != nullptr) {
    const ConfigReader inner(*parameters, reader.file());
    config.rope_base = inner.positive(kTheta, config.rope_base);
    partial = inner.positive(kPartial, partial);
    read_scaling(inner, config);
  }
  if (config.architecture->latent_attention) partial = 1;  // rotary_dim is known
  const Index turned = config.architecture->latent_attention ? config.rotary_dim : config.head_dim;
  config.rotary_dim = static_cast<Index>(partial * static_cast<double>(turned));
  if (partial > 1 || config.rotary_dim < 2 || config.rotary_dim % 2 != 0)
    reader.fail("value out of range in the model's configuration", "head_dim",
                "an even number of rotary dimensions, 2 to head_dim",
                std::to_string(config.head_dim) + " times partial_rotary_factor " + std::to_string(partial));
}

}  // namespace defectoscope
