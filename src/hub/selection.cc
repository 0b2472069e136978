#include "hub/selection.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "checkpoint/strict_json.h"
#include "hub/repo.h"

namespace defectoscope {
namespace {

/// Configuration and tokenizers, in all their forms.
constexpr std::array kSmallFiles = {"config.json",
                                    "generation_config.json",
                                    "tokenizer.json",
                                    "tokenizer_config.json",
                                    "tokenizer.model",
                                    "special_tokens_map.json",
                                    "added_tokens.json",
                                    "vocab.json",
                                    "merges.txt",
                                    "vocab.txt",
                                    "*.tiktoken",
                                    "spiece.model",
                                    "chat_template.jinja",
                                    "sentencepiece.bpe.model",
                                    "tekken.json",
                                    "quantize_config.json",
                                    "quant_config.json",
                                    "adapter_config.json",
                                    "adapter_model.safetensors"};

bool matches(const std::string& pattern, const std::string& path) {
  return ::fnmatch(pattern.c_str(), path.c_str(), 0) == 0;
}

bool is_top_level(const std::string& path) { return path.find('/') == std::string::npos; }

[[noreturn]] void nothing(const std::string& what, const std::string& expected, const std::string& repo,
                          const std::vector<std::string>& paths) {
  std::string got = std::to_string(paths.size()) + " files";
  for (std::size_t i = 0; i < std::min<std::size_t>(paths.size(), 8); ++i)
    got += (i == 0 ? ": " : ", ") + paths[i];
  if (paths.size() > 8) got += ", ...";
  throw_bad_input({.what = what,
                   .file = repo,
                   .expected = expected,
                   .got = got,
                   .hint = "--include PATTERN chooses files; --dry-run lists them"});
}

/// Adds the weights to `chosen`; false where there are none.
bool add_weights(const std::vector<std::string>& paths, const std::string& repo, Selection& chosen) {
  const auto has = [&](std::string_view name) { return std::ranges::find(paths, name) != paths.end(); };
  for (const char* whole : {"model.safetensors", "pytorch_model.bin"}) {
    const std::string index = std::string(whole) + ".index.json";
    if (has(index)) {
      chosen.files.push_back(index);
      chosen.index = index;
      return true;
    }
    if (has(whole)) {
      chosen.files.emplace_back(whole);
      return true;
    }
    if (std::string_view(whole).ends_with(".bin")) break;
    // Safetensors by another name, where there is but one; copies in another format do not count.
    std::vector<std::string> others;
    for (const std::string& path : paths)
      if (is_top_level(path) && path.ends_with(".safetensors") && !path.starts_with("consolidated") &&
          !path.starts_with("adapter_"))
        others.push_back(path);
    if (others.size() == 1) {
      chosen.files.push_back(others.front());
      return true;
    }
  }
  std::vector<std::string> gguf;
  std::ranges::copy_if(paths, std::back_inserter(gguf),
                       [](const std::string& path) { return path.ends_with(".gguf"); });
  if (gguf.size() > 1) nothing("several GGUF files", "one, chosen with --include", repo, gguf);
  chosen.files.insert(chosen.files.end(), gguf.begin(), gguf.end());
  if (has("adapter_model.safetensors")) return true;
  if (has("adapter_model.bin")) chosen.files.emplace_back("adapter_model.bin");
  return !gguf.empty() || has("adapter_model.bin");
}

}  // namespace

Selection select_files(const std::vector<std::string>& paths, const std::vector<std::string>& patterns,
                       const std::string& repo) {
  Selection chosen;
  const auto add_matching = [&](const auto& list, bool top_level) {
    for (const std::string& path : paths)
      if ((!top_level || is_top_level(path)) &&
          std::ranges::any_of(list, [&](const std::string& pattern) { return matches(pattern, path); }))
        chosen.files.push_back(path);
  };
  if (!patterns.empty()) {
    add_matching(patterns, false);
    if (chosen.files.empty()) nothing("no file matches --include", "a file of the repository", repo, paths);
  } else {
    add_matching(kSmallFiles, true);
    if (!add_weights(paths, repo, chosen))
      nothing("no weights that this program reads", "*.safetensors, pytorch_model.bin or a GGUF file", repo,
              paths);
  }
  std::ranges::sort(chosen.files);
  return chosen;
}

std::vector<std::string> shards_of(std::string_view text, const std::string& file) {
  const nlohmann::json index = parse_strict_json(text, file);
  std::set<std::string> shards;
  const auto fail = [&](const std::string& got) {
    throw_bad_input({.what = "malformed shard index",
                     .file = file,
                     .tensor = "weight_map",
                     .expected = "tensor names, each with a file of the repository",
                     .got = shortened(got)});
  };
  const auto map = index.is_object() ? index.find("weight_map") : index.end();
  if (!index.is_object() || map == index.end() || !map->is_object()) fail("none");
  for (const nlohmann::json& shard : *map) {
    if (!shard.is_string() || !is_safe_path(shard.get_ref<const std::string&>())) fail(shard.dump());
    shards.insert(shard.get<std::string>());
  }
  return {shards.begin(), shards.end()};
}

}  // namespace defectoscope
