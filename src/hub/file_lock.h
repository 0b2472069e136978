#pragma once

#include <filesystem>
#include <stop_token>

namespace defectoscope {

/// An exclusive flock on a lock file, as Python's filelock takes it, so that we and huggingface_hub wait for
/// each other. The file stays when the lock is gone: to delete it would split those who wait for it.
class FileLock {
 public:
  /// Waits until it has the lock; returns without it on a stop (see held()). Throws Error(kResources) where
  /// the file cannot be made or its file system knows no flock.
  FileLock(const std::filesystem::path& path, const std::stop_token& stop);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

  bool held() const { return descriptor_ >= 0; }

 private:
  bool try_once(const std::filesystem::path& path);
  int descriptor_ = -1;
};

}  // namespace defectoscope
