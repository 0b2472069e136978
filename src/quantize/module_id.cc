#include "quantize/module_id.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/random.h"
#include "checkpoint/checkpoint.h"
#include "model/tensor_plan.h"

namespace defectoscope {
namespace {

constexpr Module kModules[] = {Module::kQuery, Module::kKey, Module::kValue, Module::kAttentionOutput,
                               Module::kGate,  Module::kUp,  Module::kDown};

std::string_view pattern_of(const ArchitectureSpec& row, Module module) {
  const TensorNames& names = row.names;
  const bool fused = row.qkv != QkvLayout::kSeparate;
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
      return row.ffn == FfnForm::kFusedGated ? names.up : row.ffn == FfnForm::kGated ? names.gate : "";
    case Module::kUp:
      return names.up;
    case Module::kDown:
      return names.down;
    case Module::kLmHead:
      return names.lm_head;
    case Module::kRouter:
    case Module::kQueryLatent:
    case Module::kKeyValueLatent:
      return {};
  }
  return {};
}

}  // namespace

void check_quantizable(const Model& model) {
  const ModelConfig& config = model.config();
  if (config.experts.experts == 0 && !config.architecture->latent_attention) return;
  throw_bad_input({.what = "quantization of this family is not computed",
                   .file = model.name(),
                   .expected = "dense FFNs, and keys and values without latents",
                   .got = std::string(config.architecture->name)});
}

std::vector<ModuleId> quantizable_modules(const Model& model) {
  check_quantizable(model);
  std::vector<ModuleId> modules;
  for (Index layer = 0; layer < model.config().layers; ++layer)
    for (const Module module : kModules)
      if (!pattern_of(*model.config().architecture, module).empty()) modules.push_back({layer, module});
  return modules;
}

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
  }
  return {};
}

std::string module_path(const Model& model, ModuleId id) {
  const ArchitectureSpec& row = *model.config().architecture;
  std::string name =
      tensor_name(find_prefix(row, model.checkpoint()), pattern_of(row, id.module), id.layer_index);
  constexpr std::string_view kWeight = ".weight";
  if (name.ends_with(kWeight)) name.resize(name.size() - kWeight.size());
  return name;
}

const LinearWeights& weights_of(const LayerWeights& layer, Module module) {
  switch (module) {
    case Module::kQuery:
      return layer.attention.query;
    case Module::kKey:
      return layer.attention.key;
    case Module::kValue:
      return layer.attention.value;
    case Module::kAttentionOutput:
      return layer.attention.output;
    case Module::kGate:
      return layer.ffn.gate;
    case Module::kUp:
      return layer.ffn.up;
    default:
      return layer.ffn.down;
  }
}

bool is_fused(const Model& model, Module module) {
  const ArchitectureSpec& row = *model.config().architecture;
  if (module == Module::kQuery || module == Module::kKey || module == Module::kValue)
    return row.qkv != QkvLayout::kSeparate;
  return (module == Module::kGate || module == Module::kUp) && row.ffn == FfnForm::kFusedGated;
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
  for (const Index layer : layers) set.insert({layer - 1, Module::kDown});
  return set;
}

ModuleSet layer_modules(const Model& model, const std::vector<Index>& layers) {
  check_layers(model.name(), model.config().layers, layers);
  ModuleSet set;
  for (const ModuleId id : quantizable_modules(model))
    if (std::ranges::find(layers, id.layer_index + 1) != layers.end()) set.insert(id);
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
