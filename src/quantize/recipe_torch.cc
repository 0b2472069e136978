// Files of the PyTorch tools, in JSON.

#include "quantize/recipe_forms.h"
#include "quantize/recipe_json.h"

namespace defectoscope {
namespace {

constexpr int kBits = 8, kGptqBits = 4, kGptqGroup = 128;

/// Of `dynamic`'s keys, those that skip.
constexpr const char* kSkipPrefix = "-:";

}  // namespace

std::string compressed_tensors_spelling(const ListedModule& module) {
  return "re:^" + expression(module) + "$";
}

std::string write_compressed_tensors(const RecipeTarget& target) {
  const RecipeJson weights = {
      {"num_bits", kBits}, {"type", "int"}, {"strategy", "channel"}, {"symmetric", true}, {"dynamic", false}};
  const RecipeJson inputs = {
      {"num_bits", kBits}, {"type", "int"}, {"strategy", "token"}, {"symmetric", true}, {"dynamic", true}};
  const RecipeJson group = {{"targets", {"Linear"}}, {"weights", weights}, {"input_activations", inputs}};
  return recipe_text({{"quant_method", "compressed-tensors"},
                      {"format", "int-quantized"},
                      {"quantization_status", "compressed"},
                      {"config_groups", {{"group_0", group}}},
                      {"ignore", names_with_head(target, compressed_tensors_spelling)}});
}

std::vector<RecipeReading> read_compressed_tensors(const std::string& text) {
  const Patterns ignore = recipe_list("compressed-tensors", text, "/ignore");
  return {{"compressed-tensors and vLLM", [ignore](const ListedModule& module) {
             return compressed_tensors_matches(ignore, module.name, module.class_name);
           }}};
}

std::string write_bitsandbytes(const RecipeTarget& target) {
  return recipe_text(
      {{"load_in_8bit", true}, {"llm_int8_skip_modules", names_with_head(target, expression)}});
}

std::vector<RecipeReading> read_bitsandbytes(const std::string& text) {
  const Patterns skip = recipe_list("bitsandbytes", text, "/llm_int8_skip_modules");
  return {
      {"transformers", [skip](const ListedModule& module) { return transformers_skips(skip, module.name); }}};
}

std::string write_gptqmodel(const RecipeTarget& target) {
  RecipeJson dynamic = RecipeJson::object();
  for (const std::string& name : skipped_expressions(target))
    dynamic[kSkipPrefix + ("^" + name) + "$"] = RecipeJson::object();
  return recipe_text({{"bits", kGptqBits}, {"group_size", kGptqGroup}, {"dynamic", dynamic}});
}

std::vector<RecipeReading> read_gptqmodel(const std::string& text) {
  const RecipeJson dynamic = recipe_json("gptqmodel", text, "/dynamic");
  Patterns keys;
  for (const auto& entry : dynamic.items()) keys.push_back(entry.key());
  return {{"GPTQModel", [keys](const ListedModule& module) { return gptqmodel_skips(keys, module.name); }}};
}

std::string write_torchao(const RecipeTarget& target) {
  RecipeJson configs = RecipeJson::object();
  const auto whole = [](const ListedModule& module) { return "re:" + expression(module); };
  for (const std::string& name : names_with_head(target, whole)) configs[name] = nullptr;
  configs["_default"] = {
      {"_type", "Int8DynamicActivationInt8WeightConfig"}, {"_version", 2}, {"_data", RecipeJson::object()}};
  return recipe_text({{"_type", "FqnToConfig"}, {"_version", 1}, {"_data", {{"fqn_to_config", configs}}}});
}

std::vector<RecipeReading> read_torchao(const std::string& text) {
  const RecipeJson configs = recipe_json("torchao", text, "/_data/fqn_to_config");
  FqnKeys keys;
  for (const auto& entry : configs.items()) keys.emplace_back(entry.key(), !entry.value().is_null());
  return {{"torchao", [keys](const ListedModule& module) {
             const FqnOutcome outcome = torchao_outcome(keys, module.name);
             // What no key names stays as it is, which a matrix must not.
             return outcome == FqnOutcome::kNull ||
                    (outcome == FqnOutcome::kUnnamed && module.class_name == "Linear");
           }}};
}

}  // namespace defectoscope
