#pragma once

#include <set>
#include <string>
#include <vector>

#include "forward/transformer.h"

namespace defectoscope {

using ModuleSet = std::set<ModuleId>;

/// The matmuls of a layer that quantization touches, in the order of the forward pass; in a layer with
/// experts those of each expert and of the shared one. Not among them: a router and the switch of a shared
/// expert, which tools, too, leave as they are.
std::vector<ModuleId> quantizable_modules(const Model& model, Index layer_index);
/// Of all layers: every matmul but routers and the LM head.
std::vector<ModuleId> quantizable_modules(const Model& model);
/// False for the LM head and routers.
bool is_quantizable(Module module);
/// "query", "down": the same for all families.
std::string_view module_name(Module module);
/// "layer 2 down", "layer 2 expert 5 down", "layer 2 shared expert down": layers from 1, experts from 0, as
/// checkpoints name them.
std::string module_label(ModuleId id);
/// "", "expert 5", "shared expert".
std::string expert_label(ModuleId id);
/// The stored tensor that holds its weights, alone or with those of others: "…mlp.down_proj.weight".
std::string weight_tensor(const Model& model, ModuleId id);
/// As the checkpoint names the module: "model.layers.1.mlp.down_proj". Parts of a fused matrix share its
/// name; of experts that one tensor holds together the number follows: "….experts.down_proj[5]".
std::string module_path(const Model& model, ModuleId id);
/// All names that programs give the module: module_path, or of an expert's every spelling of the family, and
/// what a tensor of all experts is taken apart into ("….experts.5.down_proj").
std::vector<std::string> module_names(const Model& model, ModuleId id);
/// Its weights.
const LinearWeights& weights_of(const LayerWeights& layer, ModuleId id);

/// The modules that are stored in one matrix with `id`'s, itself among them, and so have one step: query, key
/// and value; gate and up; MLA's key and value latent with the key's rotary part; MLA's key and value.
/// Experts in one tensor count as tools take them apart: each expert's gate, up and down a matrix of its own.
std::vector<Module> stored_together(const Model& model, ModuleId id);
/// Whether its tensor is [in, out] (GPT-2's Conv1D), or of all experts [experts, in, out] (gpt-oss).
bool stores_inputs_first(const Model& model, ModuleId id);
/// The tensors of a layer's router and of its shared expert's switch, where there are such.
std::vector<std::string> router_tensors(const Model& model, Index layer_index);
/// Whether one tensor holds the same matrix of all experts of a layer.
bool has_packed_experts(const Model& model);

/// Throws Error(kUsage) on a layer (1-based) that a model of `count` layers lacks.
void check_layers(std::string_view model, Index count, const std::vector<Index>& layers);
/// F2 of these layers (1-based), of every expert where there are experts: the paper's skip set. Throws
/// Error(kUsage) on a layer the model lacks.
ModuleSet down_modules(const Model& model, const std::vector<Index>& layers);
/// All matmuls of these layers (1-based).
ModuleSet layer_modules(const Model& model, const std::vector<Index>& layers);
/// `count` of the modules outside `excluded`, drawn by seed without replacement.
ModuleSet random_modules(const Model& model, std::size_t count, const ModuleSet& excluded,
                         std::uint64_t seed);

}  // namespace defectoscope
