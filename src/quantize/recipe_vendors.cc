// Files of the processor makers' tools, in JSON.

#include "quantize/recipe_forms.h"
#include "quantize/recipe_json.h"

namespace defectoscope {

std::string wildcard_spelling(const ListedModule& module) { return with_number(module.open, "*"); }

std::string write_tensorrt_llm(const RecipeTarget& target) {
  return recipe_text({{"producer", {{"name", "modelopt"}}},
                      {"quantization",
                       {{"quant_algo", "FP8"},
                        {"kv_cache_quant_algo", nullptr},
                        {"exclude_modules", names_with_head(target, wildcard_spelling)}}}});
}

std::vector<RecipeReading> read_tensorrt_llm(const std::string& text) {
  const Patterns exclude = recipe_list("tensorrt-llm", text, "/quantization/exclude_modules");
  return {{"TensorRT-LLM 1.0",
           [exclude](const ListedModule& module) { return wildcard_excludes(exclude, module.name); }},
          {"later TensorRT-LLM", [exclude](const ListedModule& module) {
             return wildcard_excludes_with_parents(exclude, module.name);
           }}};
}

std::string write_neural_compressor(const RecipeTarget& target) {
  RecipeJson local = RecipeJson::object();
  for (const std::string& name : skipped_expressions(target)) local["^" + name + "$"] = {{"dtype", "fp32"}};
  return recipe_text({{"local", local}, {"global", {{"dtype", "int"}, {"bits", 8}}}});
}

std::vector<RecipeReading> read_neural_compressor(const std::string& text) {
  const RecipeJson configs = recipe_json("neural-compressor", text, "/local");
  LocalConfigs local;
  for (const auto& entry : configs.items()) {
    const bool whole = entry.value().is_object() && entry.value().value("dtype", "int") == "fp32";
    local.emplace_back(entry.key(), !whole);
  }
  return {{"neural-compressor",
           [local](const ListedModule& module) { return neural_compressor_keeps(local, module.name); }}};
}

std::string write_nncf(const RecipeTarget& target) {
  RecipeJson patterns = RecipeJson::array();
  for (const std::string& name : skipped_expressions(target))
    patterns.push_back(R"(^(__module\.)?)" + name + "/");
  return recipe_text({{"ignored_scope", {{"patterns", patterns}}}});
}

std::vector<RecipeReading> read_nncf(const std::string& text) {
  constexpr const char* kTool = "nncf";
  const RecipeJson scope = recipe_json(kTool, text, "/ignored_scope");
  const auto list = [&](const char* key) {
    return scope.contains(key) ? recipe_list(kTool, text, std::string("/ignored_scope/") + key) : Patterns();
  };
  // The operations of a module in OpenVINO's graph, as its versions name them.
  std::vector<RecipeReading> readings;
  for (const char* operation : {"aten::linear/MatMul", "ov_ext::linear/MatMul", "aten::addmm/MatMul"})
    readings.push_back(
        {std::string("NNCF (") + operation + ")",
         [names = list("names"), patterns = list("patterns"), operation](const ListedModule& module) {
           return nncf_ignores(names, patterns, "__module." + module.name + "/" + operation);
         }});
  return readings;
}

}  // namespace defectoscope
