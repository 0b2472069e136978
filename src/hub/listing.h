#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace defectoscope {

/// One file of a repository, as the hub lists it.
struct RepoFile {
  std::string path;        ///< checked: stays inside its folder
  std::int64_t size = -1;  ///< bytes; -1: not said
  std::string etag;        ///< SHA-256 of a large file, git's SHA-1 of another; empty: not said
};

/// The files of a repository at a commit.
struct RepoListing {
  std::string commit;
  bool gated = false;
  std::vector<RepoFile> files;  ///< sorted by path

  const RepoFile* find(std::string_view path) const;
};

/// Reads the answer of /api/models/{id}/revision/{revision}?blobs=true. Throws Error(kBadInput) naming `url`:
/// not JSON, no commit, a file name that leads out of its folder or comes twice, a size below zero.
RepoListing parse_listing(std::string_view json, const std::string& url);

}  // namespace defectoscope
