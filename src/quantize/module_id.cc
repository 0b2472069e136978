#include "quantize/module_id.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <iterator>

#include "base/error.h"
#include "base/random.h"
#include "checkpoint/checkpoint.h"
#include "model/tensor_plan.h"

namespace defectoscope {
namespace {

constexpr std::string_view kWeightTail = ".weight";

const ExpertNames& stored_expert_names(const Model& model) {
  const ArchitectureSpec& row = *model.config().architecture;
  return row.experts
      .spellings[find_spelling(model.config(), find_prefix(row, model.checkpoint()), model.checkpoint())];
}

/// Of a matmul that is no expert's.
std::string_view pattern_of(const Model& model, Module module) {
  const ArchitectureSpec& row = *model.config().architecture;
  const TensorNames& names = row.names;
  const bool fused = row.qkv != QkvLayout::kSeparate;
  const auto expand = [&](std::string_view parted) {
    return has_parted_latents(row, find_prefix(row, model.checkpoint()), model.checkpoint())
               ? parted
               : names.kv_expand;
  };
  switch (module) {
    case Module::kQuery:
      return fused ? names.fused_qkv : names.query;
    case Module::kKey:
      return fused ? names.fused_qkv : names.key;
    case Module::kValue:
      return fused ? names.fused_qkv : names.value;
    case Module::kAttentionOutput:
      return names.attention_output;
    case Module::kGate:
      return row.ffn == FfnForm::kFusedGated ? names.up : names.gate;
    case Module::kUp:
      return names.up;
    case Module::kDown:
      return names.down;
    case Module::kLmHead:
      return names.lm_head;
    case Module::kQueryLatent:
      return names.query_latent;
    case Module::kKeyValueLatent:
    case Module::kKeyPosition:
      return names.kv_latent;
    case Module::kQueryExpand:
      return names.query_expand;
    case Module::kKeyExpand:
      return expand(names.key_expand);
    case Module::kValueExpand:
      return expand(names.value_expand);
    case Module::kRouter:
      return {};
  }
  return {};
}

/// Of an expert's matmul, in one of the family's spellings: a matrix of its own, or all experts' tensor.
std::string_view expert_pattern(const ExpertNames& names, ModuleId id) {
  const bool down = id.module == Module::kDown, gate = id.module == Module::kGate;
  if (id.expert == ModuleId::kSharedExpert)
    return down ? names.shared_down : gate ? names.shared_gate : names.shared_up;
  if (!names.packed_down.empty()) return down ? names.packed_down : names.packed_gate_up;
  return down ? names.down : gate ? names.gate : names.up;
}

std::string expert_tensor(std::string_view prefix, const ExpertNames& names, ModuleId id) {
  return expert_tensor_name(prefix, expert_pattern(names, id), id.layer_index, id.expert);
}

std::string without_weight(std::string name) {
  if (name.ends_with(kWeightTail)) name.resize(name.size() - kWeightTail.size());
  return name;
}

bool is_packed(const ExpertNames& names, ModuleId id) {
  return !names.packed_down.empty() && id.expert != ModuleId::kSharedExpert;
}

}  // namespace

std::vector<ModuleId> quantizable_modules(const Model& model, Index layer_index) {
  const ModelConfig& config = model.config();
  const ArchitectureSpec& row = *config.architecture;
  std::vector<ModuleId> modules;
  const auto add = [&](std::initializer_list<Module> list, Index expert = ModuleId::kNoExpert) {
    for (const Module module : list) modules.push_back({layer_index, module, expert});
  };
  if (row.latent_attention) {
    if (config.query_latent > 0)
      add({Module::kQueryLatent, Module::kQueryExpand});
    else
      add({Module::kQuery});
    add({Module::kKeyValueLatent, Module::kKeyPosition, Module::kKeyExpand, Module::kValueExpand});
  } else {
    add({Module::kQuery, Module::kKey, Module::kValue});
  }
  add({Module::kAttentionOutput});
  if (config.experts.in_layer(layer_index)) {
    for (Index expert = 0; expert < config.experts.experts; ++expert)
      add({Module::kGate, Module::kUp, Module::kDown}, expert);
    if (config.experts.shared_ffn_size > 0)
      add({Module::kGate, Module::kUp, Module::kDown}, ModuleId::kSharedExpert);
  } else {
    if (row.ffn != FfnForm::kPlain) add({Module::kGate});
    add({Module::kUp, Module::kDown});
  }
  return modules;
}

std::vector<ModuleId> quantizable_modules(const Model& model) {
  std::vector<ModuleId> modules;
  for (Index layer = 0; layer < model.config().layers; ++layer)
    std::ranges::copy(quantizable_modules(model, layer), std::back_inserter(modules));
  return modules;
}

bool is_quantizable(Module module) { return module != Module::kLmHead && module != Module::kRouter; }

std::string_view module_name(Module module) {
  switch (module) {
    case Module::kQuery:
      return "query";
    case Module::kKey:
      return "key";
    case Module::kValue:
      return "value";
    case Module::kAttentionOutput:
      return "attention output";
    case Module::kGate:
      return "gate";
    case Module::kUp:
      return "up";
    case Module::kDown:
      return "down";
    case Module::kLmHead:
      return "LM head";
    case Module::kRouter:
      return "router";
    case Module::kQueryLatent:
      return "query latent";
    case Module::kKeyValueLatent:
      return "key and value latent";
    case Module::kKeyPosition:
      return "key position";
    case Module::kQueryExpand:
      return "query from latent";
    case Module::kKeyExpand:
      return "key from latent";
    case Module::kValueExpand:
      return "value from latent";
  }
  return {};
}

std::string expert_label(ModuleId id) {
  if (id.expert == ModuleId::kNoExpert) return {};
  return id.expert == ModuleId::kSharedExpert ? "shared expert" : fmt::format("expert {}", id.expert);
}

std::string module_label(ModuleId id) {
  const std::string expert = expert_label(id);
  return fmt::format("layer {} {}{}{}", id.layer_index + 1, expert, expert.empty() ? "" : " ",
                     module_name(id.module));
}

std::string weight_tensor(const Model& model, ModuleId id) {
  const ArchitectureSpec& row = *model.config().architecture;
  const std::string_view prefix = find_prefix(row, model.checkpoint());
  const std::string name = id.expert == ModuleId::kNoExpert
                               ? tensor_name(prefix, pattern_of(model, id.module), id.layer_index)
                               : expert_tensor(prefix, stored_expert_names(model), id);
  return stored_name(row, model.checkpoint(), name);
}

std::string module_path(const Model& model, ModuleId id) {
  const std::string name = without_weight(weight_tensor(model, id));
  const bool packed = id.expert != ModuleId::kNoExpert && is_packed(stored_expert_names(model), id);
  return packed ? fmt::format("{}[{}]", name, id.expert) : name;
}

std::vector<std::string> module_names(const Model& model, ModuleId id) {
  std::vector<std::string> all = {module_path(model, id)};
  if (id.expert == ModuleId::kNoExpert) return all;
  const ArchitectureSpec& row = *model.config().architecture;
  const std::string_view prefix = find_prefix(row, model.checkpoint());
  for (const ExpertNames& names : row.experts.spellings) {
    std::string name = without_weight(expert_tensor(prefix, names, id));
    if (is_packed(names, id)) {
      name = expert_tensor(prefix, names, {id.layer_index, Module::kDown, id.expert});
      name = fmt::format("{}.{}.{}_proj", name.substr(0, name.rfind('.')), id.expert, module_name(id.module));
    }
    if (std::ranges::find(all, name) == all.end()) all.push_back(std::move(name));
  }
  return all;
}

const LinearWeights& weights_of(const LayerWeights& layer, ModuleId id) {
  const ExpertWeights& experts = layer.experts;
  const FfnWeights& ffn = id.expert == ModuleId::kNoExpert ? layer.ffn
                          : id.expert == ModuleId::kSharedExpert
                              ? experts.shared
                              : experts.experts.at(static_cast<std::size_t>(id.expert));
  switch (id.module) {
    case Module::kQuery:
    case Module::kQueryExpand:
      return layer.attention.query;
    case Module::kKey:
    case Module::kKeyExpand:
      return layer.attention.key;
    case Module::kValue:
    case Module::kValueExpand:
      return layer.attention.value;
    case Module::kAttentionOutput:
      return layer.attention.output;
    case Module::kQueryLatent:
      return layer.attention.latent.query;
    case Module::kKeyValueLatent:
      return layer.attention.latent.kv;
    case Module::kKeyPosition:
      return layer.attention.latent.key_position;
    case Module::kGate:
      return ffn.gate;
    case Module::kUp:
      return ffn.up;
    default:
      assert(id.module == Module::kDown);
      return ffn.down;
  }
}

std::vector<Module> stored_together(const Model& model, ModuleId id) {
  const ArchitectureSpec& row = *model.config().architecture;
  const Module module = id.module;
  std::vector<std::vector<Module>> groups = {{Module::kKeyValueLatent, Module::kKeyPosition}};
  if (row.qkv != QkvLayout::kSeparate) groups.push_back({Module::kQuery, Module::kKey, Module::kValue});
  if (row.ffn == FfnForm::kFusedGated && id.expert == ModuleId::kNoExpert)
    groups.push_back({Module::kGate, Module::kUp});
  if (row.latent_attention &&
      !has_parted_latents(row, find_prefix(row, model.checkpoint()), model.checkpoint()))
    groups.push_back({Module::kKeyExpand, Module::kValueExpand});
  for (std::vector<Module>& group : groups)
    if (std::ranges::find(group, module) != group.end()) return std::move(group);
  return {module};
}

bool stores_inputs_first(const Model& model, ModuleId id) {
  const bool routed = id.expert != ModuleId::kNoExpert && id.expert != ModuleId::kSharedExpert;
  return routed ? stored_expert_names(model).packed_transposed
                : model.config().architecture->transposed_weights;
}

std::vector<std::string> router_tensors(const Model& model, Index layer_index) {
  std::vector<std::string> tensors;
  if (!model.config().experts.in_layer(layer_index)) return tensors;
  const ExpertNames& names = stored_expert_names(model);
  for (const std::string_view pattern : {names.router, names.shared_switch})
    if (!pattern.empty())
      tensors.push_back(
          tensor_name(find_prefix(*model.config().architecture, model.checkpoint()), pattern, layer_index));
  return tensors;
}

bool has_packed_experts(const Model& model) {
  return model.config().experts.experts > 0 && !stored_expert_names(model).packed_down.empty();
}

void check_layers(std::string_view model, Index count, const std::vector<Index>& layers) {
  for (const Index layer : layers)
    if (layer < 1 || layer > count)
      throw Error(ErrorKind::kUsage,
                  fmt::format("there is no layer {}: {} has layers 1 to {}", layer, model, count));
}

ModuleSet down_modules(const Model& model, const std::vector<Index>& layers) {
  check_layers(model.name(), model.config().layers, layers);
  ModuleSet set;
  for (const Index layer : layers)
    for (const ModuleId id : quantizable_modules(model, layer - 1))
      if (id.module == Module::kDown) set.insert(id);
  return set;
}

ModuleSet layer_modules(const Model& model, const std::vector<Index>& layers) {
  check_layers(model.name(), model.config().layers, layers);
  ModuleSet set;
  for (const Index layer : layers)
    for (const ModuleId id : quantizable_modules(model, layer - 1)) set.insert(id);
  return set;
}

ModuleSet random_modules(const Model& model, std::size_t count, const ModuleSet& excluded,
                         std::uint64_t seed) {
  std::vector<ModuleId> left;
  for (const ModuleId id : quantizable_modules(model))
    if (!excluded.contains(id)) left.push_back(id);
  Random random(seed, stream_of("random skip sets"));
  ModuleSet set;
  while (set.size() < count && !left.empty()) {
    const auto place = static_cast<std::ptrdiff_t>(random.below(left.size()));
    set.insert(left[static_cast<std::size_t>(place)]);
    left.erase(left.begin() + place);
  }
  return set;
}

}  // namespace defectoscope
