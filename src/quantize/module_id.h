#pragma once

#include <compare>
#include <set>
#include <string>
#include <vector>

#include "forward/transformer.h"

namespace defectoscope {

/// One matmul of one layer.
struct ModuleId {
  Index layer_index = 0;  ///< 0-based
  Module module = Module::kQuery;
  auto operator<=>(const ModuleId&) const = default;
};
using ModuleSet = std::set<ModuleId>;

/// Throws Error(kBadInput) where layers have more matmuls than a ModuleId can tell apart: experts, latent
/// attention.
void check_quantizable(const Model& model);
/// Every matmul that quantization touches, in the order of the forward pass: all but the LM head. Throws as
/// check_quantizable.
std::vector<ModuleId> quantizable_modules(const Model& model);
/// "query", "down": the same for all families.
std::string_view module_name(Module module);
/// As the checkpoint names the module: "model.layers.1.mlp.down_proj". Parts of a fused matrix share its
/// name.
std::string module_path(const Model& model, ModuleId id);
/// Its weights.
const LinearWeights& weights_of(const LayerWeights& layer, Module module);

/// Whether query, key and value (or gate and up) are parts of one stored matrix, which then has one step.
bool is_fused(const Model& model, Module module);

/// Throws Error(kUsage) on a layer (1-based) that a model of `count` layers lacks.
void check_layers(std::string_view model, Index count, const std::vector<Index>& layers);
/// F2 of these layers (1-based): the paper's skip set. Throws Error(kUsage) on a layer the model lacks.
ModuleSet down_modules(const Model& model, const std::vector<Index>& layers);
/// All matmuls of these layers (1-based).
ModuleSet layer_modules(const Model& model, const std::vector<Index>& layers);
/// `count` of the modules outside `excluded`, drawn by seed without replacement.
ModuleSet random_modules(const Model& model, std::size_t count, const ModuleSet& excluded,
                         std::uint64_t seed);

}  // namespace defectoscope
