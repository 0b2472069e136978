#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace defectoscope {

/// Which files of a repository are wanted.
struct Selection {
  std::vector<std::string> files;  ///< sorted
  std::string index;               ///< of these, the one that names further files, the shards; or empty
};

/// Without patterns, what this program reads of a model: config, tokenizer, and the weights: safetensors
/// (single, or the index whose shards follow), else PyTorch's .bin, else the only GGUF file; an adapter's
/// files as well. No training states, other frameworks' weights or second copies (consolidated.safetensors).
/// With patterns (shell's *, ?, [...]; * also matches '/'), the files that match one.
/// Throws Error(kBadInput) where that leaves nothing, or no weights, naming `repo` and what there is.
Selection select_files(const std::vector<std::string>& paths, const std::vector<std::string>& patterns,
                       const std::string& repo);

/// The files an index names (weight_map), sorted, each once. Throws Error(kBadInput) naming `file`: not an
/// index, or a name that leads out of its folder.
std::vector<std::string> shards_of(std::string_view index, const std::string& file);

}  // namespace defectoscope
