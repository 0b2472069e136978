#include "quantize/recipe_matching.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <map>
#include <memory>

#include "base/error.h"
#include "quantize/python_regex.h"

namespace defectoscope {
namespace {

constexpr std::string_view kRegex = "re:";

/// Python's fnmatch.fnmatchcase: no character is special but * ? [ ].
bool wildcard(const std::string& pattern, const std::string& name) {
  return fnmatch(pattern.c_str(), name.c_str(), FNM_NOESCAPE) == 0;
}

/// Compiled once a thread: a mixture's recipe is held against tens of thousands of modules.
const PythonRegex& compiled(const std::string& pattern) {
  thread_local std::map<std::string, std::unique_ptr<const PythonRegex>> known;
  std::unique_ptr<const PythonRegex>& regex = known[pattern];
  if (!regex) regex = std::make_unique<const PythonRegex>(pattern);
  return *regex;
}

std::string after(std::string_view prefix, const std::string& pattern) {
  return pattern.starts_with(prefix) ? pattern.substr(prefix.size()) : pattern;
}

}  // namespace

bool compressed_tensors_matches(const Patterns& ignore, std::string_view name, std::string_view class_name) {
  return std::ranges::any_of(ignore, [&](const std::string& pattern) {
    if (pattern.starts_with(kRegex)) return compiled(after(kRegex, pattern)).match(name);
    return pattern == name || (!class_name.empty() && pattern == class_name);
  });
}

bool transformers_skips(const Patterns& skip, std::string_view name) {
  return std::ranges::any_of(skip, [&](const std::string& key) {
    return compiled("(?:" + key + R"()(?:(?<=\.)|(?=\.|$)))").match(name) || name.ends_with(key);
  });
}

bool substring_skips(const Patterns& skip, std::string_view name) {
  return std::ranges::any_of(skip, [&](const std::string& key) { return name.find(key) != name.npos; });
}

bool gptqmodel_skips(const Patterns& dynamic, std::string_view name) {
  constexpr std::string_view kSkip = "-:", kChange = "+:";
  for (const std::string& key : dynamic) {
    const bool skips = key.starts_with(kSkip);
    if (compiled(skips ? after(kSkip, key) : after(kChange, key)).match(name)) return skips;
  }
  return false;
}

FqnOutcome torchao_outcome(const FqnKeys& keys, std::string_view name) {
  const std::string module(name), parameter = module + ".weight";
  const auto outcome = [](const FqnKeys::value_type& key) {
    return key.second ? FqnOutcome::kConfigured : FqnOutcome::kNull;
  };
  for (const std::string& exact : {parameter, module})
    for (const auto& key : keys)
      if (key.first == exact) return outcome(key);
  for (const std::string& text : {parameter, module})
    for (const auto& key : keys)
      if (key.first.starts_with(kRegex) && compiled(after(kRegex, key.first)).fullmatch(text))
        return outcome(key);
  for (const auto& key : keys)
    if (key.first == "_default") return outcome(key);
  return FqnOutcome::kUnnamed;
}

bool modelopt_disables(const QuantizerEntries& entries, std::string_view quantizer) {
  bool disabled = false;
  for (const auto& [pattern, enables] : entries)
    if (wildcard(pattern, std::string(quantizer))) disabled = !enables;
  return disabled;
}

bool wildcard_excludes(const Patterns& exclude, std::string_view name) {
  return std::ranges::any_of(
      exclude, [&](const std::string& pattern) { return wildcard(pattern, std::string(name)); });
}

bool wildcard_excludes_with_parents(const Patterns& exclude, std::string_view name) {
  for (std::string candidate(name); !candidate.empty();) {
    for (const std::string& pattern : exclude)
      if (pattern.starts_with(kRegex) ? compiled(after(kRegex, pattern)).fullmatch(candidate)
                                      : wildcard(pattern, candidate))
        return true;
    const std::size_t dot = candidate.rfind('.');
    candidate.resize(dot == candidate.npos ? 0 : dot);
  }
  return false;
}

bool neural_compressor_keeps(const LocalConfigs& local, std::string_view name) {
  bool keeps = false;
  for (const auto& [pattern, quantizes] : local)
    if (compiled(pattern).match(name)) keeps = !quantizes;
  return keeps;
}

bool nncf_ignores(const Patterns& names, const Patterns& patterns, std::string_view node) {
  return std::ranges::find(names, node) != names.end() ||
         std::ranges::any_of(patterns, [&](const std::string& p) { return compiled(p).match(node); });
}

void LlamaCppTypes::add(const std::string& pattern, std::string type) {
  std::string lower = pattern;
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  try {
    types_.emplace_back(std::regex(lower), std::move(type));
  } catch (const std::regex_error&) {
    throw_bad_input({.what = "a recipe's pattern is not a regular expression",
                     .expected = "a pattern of C++'s std::regex",
                     .got = fmt::format("'{}'", pattern)});
  }
}

std::string LlamaCppTypes::type_of(const std::string& tensor) const {
  for (const auto& [pattern, type] : types_)
    if (std::regex_search(tensor, pattern)) return type;
  return {};
}

}  // namespace defectoscope
