#pragma once

#include <regex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace defectoscope {

// How each tool finds the modules that its setting names. Held against what the tools themselves match:
// tools/golden_recipes.py. All throw Error(kBadInput) on a pattern that is no regular expression.

using Patterns = std::vector<std::string>;

/// compressed-tensors (and so llm-compressor, and vLLM on such checkpoints), `ignore` and `targets`: the name
/// in full, the class's name, or behind "re:" what re.match takes from the start.
bool compressed_tensors_matches(const Patterns& ignore, std::string_view name, std::string_view class_name);

/// transformers, `llm_int8_skip_modules` and `modules_to_not_convert`: a regular expression from the start up
/// to a dot or the end, or any plain ending.
bool transformers_skips(const Patterns& skip, std::string_view name);

/// AutoAWQ and vLLM on AWQ checkpoints, `modules_to_not_convert`: any part of the name. AutoAWQ's own
/// quantizer gives it names within a block ("mlp.down_proj"), vLLM names in full.
bool substring_skips(const Patterns& skip, std::string_view name);

/// GPTQModel, the keys of `dynamic` in their order: the first whose regular expression matches from the start
/// decides; it skips where it begins with "-:".
bool gptqmodel_skips(const Patterns& dynamic, std::string_view name);

/// torchao, FqnToConfig's keys in their order, each with whether its value is a config (else null). Parameter
/// names come before module names, both before what "re:" takes of the whole name, "_default" last.
enum class FqnOutcome { kNull, kConfigured, kUnnamed };
using FqnKeys = std::vector<std::pair<std::string, bool>>;
FqnOutcome torchao_outcome(const FqnKeys& keys, std::string_view name);

/// NVIDIA ModelOpt, entries in their order, each with whether it enables: shell wildcards on the whole name
/// of a module's quantizer ("….weight_quantizer"); the last that matches decides.
using QuantizerEntries = std::vector<std::pair<std::string, bool>>;
bool modelopt_disables(const QuantizerEntries& entries, std::string_view quantizer);

/// TensorRT-LLM, `exclude_modules`: shell wildcards on the whole name.
bool wildcard_excludes(const Patterns& exclude, std::string_view name);
/// Its later versions: the same, or what "re:" takes of the whole name, on the name or any of its parents.
bool wildcard_excludes_with_parents(const Patterns& exclude, std::string_view name);

/// Intel neural-compressor, the keys of `local` in their order, each with whether it quantizes: what re.match
/// takes from the start; the last that matches decides.
using LocalConfigs = std::vector<std::pair<std::string, bool>>;
bool neural_compressor_keeps(const LocalConfigs& local, std::string_view name);

/// NNCF, IgnoredScope: a node's name in full, or what re.match takes from its start.
bool nncf_ignores(const Patterns& names, const Patterns& patterns, std::string_view node);

/// llama.cpp, `--tensor-type`, in their order, each with its type: std::regex_search of the lower-cased
/// pattern anywhere in the tensor's name; the first that matches decides.
class LlamaCppTypes {
 public:
  void add(const std::string& pattern, std::string type);
  /// Empty where no pattern matches.
  std::string type_of(const std::string& tensor) const;

 private:
  std::vector<std::pair<std::regex, std::string>> types_;
};

}  // namespace defectoscope
