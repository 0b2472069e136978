#pragma once

#include <string>
#include <string_view>

namespace defectoscope {

enum class RepoKind { kModel, kDataset };

/// What of the hub is meant: a repository at a revision.
struct Repo {
  RepoKind kind = RepoKind::kModel;
  std::string id;                 ///< "org/name", or "name" for the hub's oldest models
  std::string revision = "main";  ///< branch, tag or commit

  /// As a user writes it, the revision left out where it is "main".
  std::string text() const;
  /// "models--org--name", as huggingface_hub names the repository's folder in its cache.
  std::string folder_name() const;
};

/// True for "hf://...".
bool is_hub_address(std::string_view text);

/// Reads `org/name[@revision]`, with or without `hf://`; `datasets/` in front makes it a data set.
/// Throws Error(kUsage) where it is none: the hub's own rules for names, and no revision that would leave
/// the cache folder.
Repo parse_repo(std::string_view text);

/// True for the 40 lower-case hexadecimal digits of a commit.
bool is_commit(std::string_view revision);

/// True where `path` names a file inside the folder it is put to: relative, no "..", no ".", no empty part,
/// no backslash, no control character. Names come from a server.
bool is_safe_path(std::string_view path);

}  // namespace defectoscope
