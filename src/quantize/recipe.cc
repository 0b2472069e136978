#include "quantize/recipe.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "quantize/recipe_forms.h"

namespace defectoscope {
namespace {

constexpr RecipeTool kTools[] = {
    {"llm-compressor", "recipe.yaml", true, true, write_llm_compressor, read_llm_compressor},
    {"compressed-tensors", "quantization_config.json", true, true, write_compressed_tensors,
     read_compressed_tensors},
    {"bitsandbytes", "bitsandbytes.json", true, false, write_bitsandbytes, read_bitsandbytes},
    {"gptqmodel", "quantize_config.json", false, false, write_gptqmodel, read_gptqmodel},
    {"autoawq", "skip_modules.py", true, true, write_autoawq, read_autoawq},
    {"torchao", "torchao.json", true, true, write_torchao, read_torchao},
    {"llama.cpp", "tensor-types.txt", false, false, write_llama_cpp, read_llama_cpp},
    {"modelopt", "recipe.yaml", true, false, write_modelopt, read_modelopt},
    {"tensorrt-llm", "hf_quant_config.json", true, false, write_tensorrt_llm, read_tensorrt_llm},
    {"neural-compressor", "rtn.json", false, false, write_neural_compressor, read_neural_compressor},
    {"nncf", "ignored_scope.json", false, false, write_nncf, read_nncf},
};

std::string summary(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 3;
  if (names.empty()) return "none";
  std::string text = fmt::format(
      "{}", fmt::join(names.begin(),
                      names.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, names.size())), ", "));
  return names.size() <= kShown ? text : fmt::format("{} and {} more", text, names.size() - kShown);
}

constexpr std::string_view kOpenNumber = "{}";

/// Each module's name, or what `open` makes of those with an open number; each once.
void add_names(const std::vector<ListedModule>& modules, const OpenSpelling& open,
               std::vector<std::string>& names) {
  std::set<std::string> seen;
  for (const ListedModule& module : modules) {
    std::string name = open && !module.open.empty() ? open(module) : module.name;
    if (seen.insert(name).second) names.push_back(std::move(name));
  }
}

}  // namespace

std::span<const RecipeTool> recipe_tools() { return kTools; }

const RecipeTool& recipe_tool(std::string_view name) {
  std::vector<std::string_view> known;
  for (const RecipeTool& tool : kTools) {
    if (tool.name == name) return tool;
    known.push_back(tool.name);
  }
  throw Error(ErrorKind::kUsage,
              fmt::format("there is no recipe for '{}'; known: {}", name, fmt::join(known, ", ")));
}

std::vector<RecipeMismatch> check_recipe(const RecipeTool& tool, const std::string& text,
                                         const RecipeTarget& target) {
  std::vector<RecipeMismatch> mismatches;
  std::set<std::string_view> skipped;
  for (const ListedModule& module : target.skipped) skipped.insert(module.name);
  for (const RecipeReading& reading : tool.read(text)) {
    RecipeMismatch mismatch{.by = reading.by, .missed = {}, .unintended = {}};
    for (const ListedModule& module : target.modules) {
      const bool intended =
          module.is_head || module.is_router ? tool.names_head : skipped.contains(module.name);
      const bool left_alone = reading.leaves_alone(module);
      if (intended && !left_alone) mismatch.missed.push_back(module.name);
      if (!intended && left_alone) mismatch.unintended.push_back(module.name);
    }
    if (!mismatch.missed.empty() || !mismatch.unintended.empty()) mismatches.push_back(std::move(mismatch));
  }
  return mismatches;
}

std::string make_recipe(const RecipeTool& tool, const RecipeTarget& target) {
  std::string text = tool.write(target);
  for (const RecipeMismatch& mismatch : check_recipe(tool, text, target))
    throw_bad_input({.what = fmt::format("the recipe for {}, as {} reads it, would not leave out exactly the "
                                         "intended modules of {}",
                                         tool.name, mismatch.by, target.model),
                     .expected = fmt::format("also {}", summary(mismatch.missed)),
                     .got = fmt::format("besides {}", summary(mismatch.unintended)),
                     .hint =
                         "nothing was written; please report this with the output of 'defectoscope inspect "
                         "MODEL --tensors'"});
  return text;
}

std::vector<std::string> names_with_head(const RecipeTarget& target, const OpenSpelling& open) {
  std::vector<std::string> names;
  add_names(target.kept, open, names);
  add_names(target.skipped, open, names);
  return names;
}

std::vector<std::string> skipped_expressions(const RecipeTarget& target) {
  std::vector<std::string> expressions;
  for (const ListedModule& module : target.skipped) {
    std::string own = expression(module);
    if (std::ranges::find(expressions, own) == expressions.end()) expressions.push_back(std::move(own));
  }
  return expressions;
}

std::string with_number(std::string_view open, std::string_view number) {
  std::string name(open);
  return name.replace(name.find(kOpenNumber), kOpenNumber.size(), number);
}

std::string expression(const ListedModule& module) {
  if (module.open.empty()) return escaped(module.name);
  return with_number(escaped(module.open), R"(\d+)");
}

std::string escaped(const std::string& name) {
  std::string pattern;
  for (const char c : name) {
    if (c == '.') pattern += '\\';
    pattern += c;
  }
  return pattern;
}

void throw_unreadable(std::string_view tool, const std::string& why) {
  throw_bad_input({.what = fmt::format("this is not a file that {} reads", tool), .got = why});
}

}  // namespace defectoscope
