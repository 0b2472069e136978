#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "hub/repo.h"
#include "hub/settings.h"

namespace defectoscope {

/// One file that a snapshot is to hold.
struct PlannedFile {
  std::string path;
  std::string etag = {};   ///< the blob's name; empty where the file is in the snapshot already
  std::int64_t size = 0;   ///< bytes
  std::int64_t there = 0;  ///< of these in the cache
  bool in_snapshot = false;
};

/// What a download would do.
struct SnapshotPlan {
  Repo repo;
  std::string commit;
  std::filesystem::path folder;    ///< where the files will be
  std::vector<PlannedFile> files;  ///< sorted by path
  bool from_cache = false;         ///< the hub was not asked, or did not answer: what the cache has
  std::string note;                ///< why, for the user; empty where there is nothing to say

  std::int64_t bytes() const;
  std::int64_t missing_bytes() const;
};

/// Asks the hub which commit `repo` stands at and which files it has, chooses (select_files), and looks what
/// the cache has of them. One request, and one for an index of shards; one a file more where the hub's list
/// says nothing of sizes. Offline, or where the hub cannot be reached, the commit last seen, if its files are
/// all there. Throws Error: see throw_http_error, select_files; kBadInput where offline and something is
/// missing.
SnapshotPlan plan_snapshot(const Repo& repo, const std::vector<std::string>& include,
                           const HubSettings& settings);

/// Does it, settings.connections files at once, with progress on stderr; returns the plan's folder. Two
/// processes, huggingface_hub's among them, wait for each other file by file (lock files). What is
/// interrupted stays, and is gone on from. Throws Error(kResources) before the first byte where the disk is
/// too small; else see fetch_file.
std::filesystem::path download_snapshot(const SnapshotPlan& plan, const HubSettings& settings);

}  // namespace defectoscope
