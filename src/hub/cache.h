#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "hub/repo.h"

namespace defectoscope {

/// One repository's place in the cache that huggingface_hub and its kin share:
///
///     <cache>/models--org--name/blobs/<etag>                 contents, once each
///                               refs/<revision>              the commit that a branch or tag stood at
///                               snapshots/<commit>/<path>    relative links into blobs/
///     <cache>/.locks/models--org--name/<etag>.lock
class RepoCache {
 public:
  RepoCache(std::filesystem::path cache, const Repo& repo);

  std::filesystem::path blob(const std::string& etag) const;
  /// The part of a blob that is there so far; whoever holds the blob's lock may append to it.
  std::filesystem::path partial(const std::string& etag) const;
  std::filesystem::path lock(const std::string& etag) const;
  std::filesystem::path snapshot(const std::string& commit) const;
  std::filesystem::path file(const std::string& commit, const std::string& path) const;

  /// The commit `revision` stood at when last seen; empty: never seen.
  std::string known_commit(const std::string& revision) const;
  /// Those ever seen, sorted; branches with a slash in their name included.
  std::vector<std::string> revisions() const;
  /// Throws Error(kResources), as the next.
  void remember_commit(const std::string& revision, const std::string& commit) const;
  /// Makes the link of `path` to the blob, relative, in one step.
  void link(const std::string& commit, const std::string& path, const std::string& etag) const;
  /// Paths of the files a snapshot holds, sorted; links that lead nowhere do not count.
  std::vector<std::string> files(const std::string& commit) const;
  /// Marks the cache as one, so that backups pass over it (CACHEDIR.TAG).
  void tag() const;

 private:
  std::filesystem::path root_, folder_, locks_;
};

/// True where an ETag can be a file's name: 1 to 128 letters, digits, '-', '_', '.', no dot in front.
bool is_blob_name(const std::string& etag);

/// An ETag header's value without W/ and quotes.
std::string plain_etag(std::string value);

/// Error(kResources) with errno's cause and what to do about a cache.
[[noreturn]] void throw_cache_error(const std::string& what, const std::filesystem::path& path);

/// make_folder, but the hint is the cache's. Throws Error(kResources).
void make_cache_folder(const std::filesystem::path& path);

}  // namespace defectoscope
