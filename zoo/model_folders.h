#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"

namespace defectoscope {

/// The folders of models in a folder, in order of their names. Throws Error(kBadInput) where there are not
/// two to compare.
inline std::vector<std::filesystem::path> model_folders(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error))
    if (std::filesystem::exists(entry.path() / "config.json")) found.push_back(entry.path());
  if (found.size() < 2)
    throw_bad_input({.what = "no models to hold against each other",
                     .file = folder.string(),
                     .expected = "two folders of models or more",
                     .got = error ? error.message() : std::to_string(found.size())});
  std::ranges::sort(found);
  return found;
}

}  // namespace defectoscope
