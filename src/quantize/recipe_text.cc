// Files that are neither JSON nor YAML: AutoAWQ's Python, llama.cpp's list of tensor types.

#include <algorithm>
#include <array>
#include <set>
#include <sstream>

#include "quantize/recipe_forms.h"
#include "quantize/recipe_json.h"

namespace defectoscope {
namespace {

constexpr std::string_view kAwqList = "MODULES_TO_NOT_CONVERT = ";

constexpr std::string_view kAwqHead =
    R"(# AutoAWQ compares `modules_to_not_convert` with names within a block ("mlp.down_proj"), so it cannot leave alone
# one block's matrix. SkippingQuantizer does, by names in full; vLLM and transformers read such names.
#
#     model.quantize(tokenizer, quant_config=quant_config, quantizer_cls=SkippingQuantizer)
#     keep_in_config(model)
#     model.save_quantized(folder)

from awq.quantize.quantizer import AwqQuantizer
from awq.utils.module import get_op_name

)";

constexpr std::string_view kAwqTail = R"(

class SkippingQuantizer(AwqQuantizer):
    def _to_quantize(self, block, linears):
        path = get_op_name(self.model, block)
        return {name: linear for name, linear in linears.items() if f"{path}.{name}" not in MODULES_TO_NOT_CONVERT}

    def _search_best_clip(self, layer, named_linears, input_feat):
        return super()._search_best_clip(layer, self._to_quantize(layer, named_linears), input_feat)

    def _apply_quant(self, module, named_linears):
        super()._apply_quant(module, self._to_quantize(module, named_linears))


def keep_in_config(model):
    model.quant_config.modules_to_not_convert = MODULES_TO_NOT_CONVERT
)";

constexpr std::array<std::string_view, 3> kWholeTypes = {"f16", "bf16", "f32"};

}  // namespace

std::string write_autoawq(const RecipeTarget& target) {
  return std::string(kAwqHead)
      .append(kAwqList)
      .append(RecipeJson(names_with_head(target)).dump(4))
      .append("\n")
      .append(kAwqTail);
}

std::vector<RecipeReading> read_autoawq(const std::string& text) {
  const std::size_t begin = text.find(kAwqList);
  if (begin == text.npos) throw_unreadable("autoawq", "no list MODULES_TO_NOT_CONVERT");
  const std::size_t open = begin + kAwqList.size(), close = text.find(']', open);
  // A list of strings is written alike in Python and JSON.
  const Patterns list =
      recipe_list("autoawq", text.substr(open, close == text.npos ? 0 : close + 1 - open), "");
  return {
      {"SkippingQuantizer",
       [list](const ListedModule& module) { return std::ranges::find(list, module.name) != list.end(); }},
      {"vLLM", [list](const ListedModule& module) { return substring_skips(list, module.name); }},
      {"transformers", [list](const ListedModule& module) { return transformers_skips(list, module.name); }}};
}

std::string write_llama_cpp(const RecipeTarget& target) {
  std::string text;
  std::set<std::string> seen;  // one tensor holds all experts'
  for (const ListedModule& module : target.skipped)
    if (seen.insert(module.gguf).second) text += "^" + escaped(module.gguf) + "$=f16\n";
  return text;
}

std::vector<RecipeReading> read_llama_cpp(const std::string& text) {
  LlamaCppTypes types;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const std::size_t sign = word.find('=');
    if (sign == 0 || sign == word.npos || sign + 1 == word.size())
      throw_unreadable("llama.cpp", "'" + word + "', which is not PATTERN=TYPE");
    types.add(word.substr(0, sign), word.substr(sign + 1));
  }
  return {{"llama.cpp", [types](const ListedModule& module) {
             const std::string type = module.gguf.empty() ? "" : types.type_of(module.gguf);
             return std::ranges::find(kWholeTypes, type) != kWholeTypes.end();
           }}};
}

}  // namespace defectoscope
