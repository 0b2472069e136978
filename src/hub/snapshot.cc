#include "hub/snapshot.h"

#include <algorithm>
#include <atomic>
#include <numeric>

#include "base/error.h"
#include "base/progress.h"
#include "hub/cache.h"
#include "hub/disk_space.h"
#include "hub/fetch.h"
#include "hub/file_lock.h"
#include "hub/url.h"
#include "hub/workers.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;

/// One file: whoever has the lock fetches, whoever waited for it finds the blob.
void download_one(HttpClient& client, const HubSettings& settings, const std::stop_token& stop,
                  const SnapshotPlan& plan, const PlannedFile& file, std::atomic<std::int64_t>& received) {
  const RepoCache cache(settings.cache, plan.repo);
  const FileLock lock(cache.lock(file.etag), stop);
  if (!lock.held()) throw Error(ErrorKind::kInterrupted, "stopped");
  const fs::path blob = cache.blob(file.etag);
  std::error_code error;
  if (fs::is_regular_file(blob, error))
    received += file.size;
  else
    fetch_file(client, settings, stop,
               {.url = file_url(settings.endpoint, plan.repo, plan.commit, file.path),
                .name = plan.repo.id + "/" + file.path,
                .etag = file.etag,
                .size = file.size},
               cache.partial(file.etag), blob, received);
  cache.link(plan.commit, file.path, file.etag);
}

}  // namespace

std::int64_t SnapshotPlan::bytes() const {
  return std::accumulate(files.begin(), files.end(), std::int64_t{0},
                         [](std::int64_t sum, const PlannedFile& file) { return sum + file.size; });
}

std::int64_t SnapshotPlan::missing_bytes() const {
  return std::accumulate(
      files.begin(), files.end(), std::int64_t{0},
      [](std::int64_t sum, const PlannedFile& file) { return sum + file.size - file.there; });
}

fs::path download_snapshot(const SnapshotPlan& plan, const HubSettings& settings) {
  if (plan.from_cache) return plan.folder;
  const RepoCache cache(settings.cache, plan.repo);
  std::vector<const PlannedFile*> todo;
  for (const PlannedFile& file : plan.files)
    if (!file.in_snapshot) todo.push_back(&file);
  if (!todo.empty()) {
    make_cache_folder(settings.cache);
    check_disk_space(settings.cache, plan.missing_bytes());
    cache.tag();
    // Large files first: no worker is left alone with one at the end.
    std::ranges::stable_sort(todo, std::greater<>(), [](const PlannedFile* file) { return file->size; });
    std::atomic<std::int64_t> received{0};
    std::atomic<std::size_t> next{0};
    std::int64_t there = 0, size = 0, shown = 0;
    for (const PlannedFile* file : todo) {
      there += file->there;
      size += file->size;
    }
    Progress progress(plan.repo.id, size - there);
    const int workers =
        static_cast<int>(std::min<std::size_t>(todo.size(), static_cast<std::size_t>(settings.connections)));
    run_workers(
        workers,
        [&](const std::stop_token& stop) {
          HttpClient client(settings, stop);
          for (std::size_t i = next++; i < todo.size() && !stop.stop_requested(); i = next++)
            download_one(client, settings, stop, plan, *todo[i], received);
        },
        [&] {
          const std::int64_t now = std::max(received.load() - there, std::int64_t{0});
          progress.advance(now - shown);
          shown = now;
        });
  }
  try {
    cache.remember_commit(plan.repo.revision, plan.commit);
  } catch (const Error&) {
    // A cache that is read-only but complete serves as it is.
    if (!todo.empty()) throw;
  }
  return plan.folder;
}

}  // namespace defectoscope
