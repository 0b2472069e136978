// Files in YAML.

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <set>

#include "quantize/recipe_forms.h"
#include "quantize/recipe_matching.h"

namespace defectoscope {
namespace {

/// Runs `read` on the parsed text, turning yaml-cpp's exceptions into ours.
template <typename Read>
void read_yaml(std::string_view tool, const std::string& text, const Read& read) {
  try {
    read(YAML::Load(text));
  } catch (const YAML::Exception& error) {
    throw_unreadable(tool, error.what());
  }
}

std::string comment(const RecipeTarget& target) {
  std::string layers;
  for (const Index layer : target.skip_layers)
    layers += fmt::format("{}{}", layers.empty() ? "" : ", ", layer);
  return fmt::format("# {}: the FFN's second matrix of {} (counted from 1) stays in 16 bits.\n", target.model,
                     layers.empty() ? "no layer" : "layer " + layers);
}

}  // namespace

std::string write_llm_compressor(const RecipeTarget& target) {
  std::string text = comment(target) +
                     "quant_stage:\n  quant_modifiers:\n    QuantizationModifier:\n      targets: [Linear]\n"
                     "      scheme: W8A8\n      ignore:\n";
  // In single quotes YAML leaves backslashes as they are.
  for (const std::string& name : names_with_head(target, compressed_tensors_spelling))
    text += name.starts_with("re:") ? "        - '" + name + "'\n" : "        - \"" + name + "\"\n";
  return text;
}

std::vector<RecipeReading> read_llm_compressor(const std::string& text) {
  constexpr std::string_view kTool = "llm-compressor";
  Patterns ignore;
  bool found = false;
  read_yaml(kTool, text, [&](const YAML::Node& root) {
    for (const auto& stage : root)
      for (const auto& group : stage.second)
        for (const auto& modifier : group.second)
          if (const YAML::Node list = modifier.second["ignore"]; modifier.second["scheme"]) {
            found = true;
            for (const YAML::Node& name : list) ignore.push_back(name.as<std::string>());
          }
  });
  if (!found) throw_unreadable(kTool, "no modifier with a scheme");
  return {{"llm-compressor", [ignore](const ListedModule& module) {
             return compressed_tensors_matches(ignore, module.name, module.class_name);
           }}};
}

std::string write_modelopt(const RecipeTarget& target) {
  std::string text =
      comment(target) +
      "imports:\n  base_disable_all: configs/ptq/units/base_disable_all\n"
      "  default_disabled_quantizers: configs/ptq/units/default_disabled_quantizers\n"
      "  int8_per_channel: configs/numerics/int8_per_channel\n  int8: configs/numerics/int8\n"
      "metadata:\n  recipe_type: ptq\n  description: INT8 weights a channel and inputs a tensor, chosen "
      "matrices "
      "left alone.\n"
      "quantize:\n  algorithm: max\n  quant_cfg:\n    - $import: base_disable_all\n"
      "    - quantizer_name: \"*weight_quantizer\"\n      cfg:\n        $import: int8_per_channel\n"
      "    - quantizer_name: \"*input_quantizer\"\n      cfg:\n        $import: int8\n"
      "    - $import: default_disabled_quantizers\n";
  std::set<std::string> packed;
  for (const ListedModule& module : target.skipped)
    if (module.class_name == kPackedExperts) packed.insert(module.name);
  for (const std::string& name : names_with_head(target, wildcard_spelling))
    text += fmt::format("    - quantizer_name: \"{}{}\"\n      enable: false\n", name,
                        packed.contains(name) ? "_*" : ".*");
  return text;
}

std::vector<RecipeReading> read_modelopt(const std::string& text) {
  constexpr std::string_view kTool = "modelopt";
  QuantizerEntries entries;
  read_yaml(kTool, text, [&](const YAML::Node& root) {
    const YAML::Node list = root["quantize"]["quant_cfg"];
    if (!list.IsSequence()) throw_unreadable(kTool, "no list quantize/quant_cfg");
    for (const YAML::Node& entry : list)
      if (const YAML::Node name = entry["quantizer_name"])  // the others import ModelOpt's own defaults
        entries.emplace_back(name.as<std::string>(), entry["enable"] ? entry["enable"].as<bool>() : true);
  });
  std::vector<RecipeReading> readings;
  for (const std::string quantizer : {"weight_quantizer", "input_quantizer"})
    readings.push_back({"ModelOpt (" + quantizer + ")", [entries, quantizer](const ListedModule& module) {
                          // Experts in one tensor have quantizers beside it, not below it.
                          const char* joint = module.class_name == kPackedExperts ? "_" : ".";
                          return modelopt_disables(entries, module.name + joint + quantizer);
                        }});
  return readings;
}

}  // namespace defectoscope
