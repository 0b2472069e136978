#include "model/expert_config.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "model/architecture.h"
#include "model/config_reader.h"

namespace defectoscope {
namespace {

using Key = std::array<std::string_view, 1>;

constexpr Index kMaxExperts = Index{1} << 14;
constexpr Index kMostExpertWidth = Index{1} << 24;
constexpr Index kMostLayers = 10'000;

std::vector<bool> sparse_layers(const ConfigReader& reader, SparseLayers rule, Index layers) {
  std::vector<bool> sparse(static_cast<std::size_t>(layers), true);
  if (rule == SparseLayers::kAfterFirst) {
    const Index first = reader.integer(Key{"first_k_dense_replace"}, 0, kMostLayers, 0);
    const Index every = reader.integer(Key{"moe_layer_freq"}, 1, kMostLayers, 1);
    for (Index i = 0; i < layers; ++i) sparse[static_cast<std::size_t>(i)] = i >= first && i % every == 0;
  }
  if (rule != SparseLayers::kEveryNth) return sparse;
  const Index every = reader.integer(Key{"decoder_sparse_step"}, 1, kMostLayers, 1);
  for (Index i = 0; i < layers; ++i) sparse[static_cast<std::size_t>(i)] = (i + 1) % every == 0;
  const nlohmann::json* dense = reader.find("mlp_only_layers");
  if (dense == nullptr) return sparse;
  if (!dense->is_array())
    reader.fail("wrong type in the model's configuration", "mlp_only_layers", "a list of layers", "no list");
  for (const nlohmann::json& layer : *dense) {
    if (!layer.is_number_unsigned())
      reader.fail("value out of range in the model's configuration", "mlp_only_layers", "layers from 0 on",
                  layer.dump());
    if (layer.get<std::uint64_t>() < sparse.size()) sparse[layer.get<std::size_t>()] = false;
  }
  return sparse;
}

void read_groups(const ConfigReader& reader, ExpertConfig& config) {
  const std::string method = reader.find_text(Key{"topk_method"}).value_or("");
  if (method == "greedy") return;  // n_group is there and means nothing
  if (!method.empty() && method != "group_limited_greedy" && method != "noaux_tc")
    reader.fail("setting not supported", "topk_method", "greedy, group_limited_greedy or noaux_tc", method);
  config.groups = reader.integer(Key{"n_group"}, 1, config.experts, 1);
  config.chosen_groups = reader.integer(Key{"topk_group"}, 1, config.groups, config.groups);
  if (config.experts % config.groups != 0)
    reader.fail("experts do not divide into groups", "n_group",
                "a divisor of " + std::to_string(config.experts), std::to_string(config.groups));
  if (config.chosen > config.experts / config.groups * config.chosen_groups)
    reader.fail("more experts chosen than the chosen groups hold", "topk_group",
                "groups of " + std::to_string(config.experts / config.groups) + " that hold " +
                    std::to_string(config.chosen),
                std::to_string(config.chosen_groups));
}

}  // namespace

ExpertConfig read_experts(const ConfigReader& reader, const ArchitectureSpec& row, Index layers) {
  const ExpertSpec& spec = row.experts;
  ExpertConfig config;
  if (spec.spellings.empty()) return config;
  config.experts = reader.integer(spec.count_keys, 1, kMaxExperts);
  config.chosen = reader.integer(std::array<std::string_view, 2>{"num_experts_per_tok", "experts_per_token"},
                                 1, config.experts);
  config.ffn_size = reader.integer(spec.size_keys, 1, kMostExpertWidth);
  if (!spec.shared_size_keys.empty())
    config.shared_ffn_size = reader.integer(spec.shared_size_keys, 0, kMostExpertWidth, 0);
  if (!spec.shared_count_keys.empty())
    config.shared_ffn_size =
        config.ffn_size * reader.integer(spec.shared_count_keys, 0, kMostExpertWidth / config.ffn_size, 0);
  config.normalized =
      spec.normalized_key.empty() ? spec.normalized : reader.boolean(spec.normalized_key, spec.normalized);
  if (!spec.scale_key.empty()) config.scale = reader.positive(Key{spec.scale_key}, 1);
  if (spec.grouped) read_groups(reader, config);
  config.layer_is_sparse = sparse_layers(reader, spec.layers, layers);
  return config;
}

}  // namespace defectoscope
