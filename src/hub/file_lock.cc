#include "hub/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/error.h"
#include "hub/cache.h"

namespace defectoscope {

FileLock::FileLock(const std::filesystem::path& path, const std::stop_token& stop) {
  make_cache_folder(path.parent_path());
  // flock cannot be waited for and stopped at once, so it is asked for again and again, as filelock does.
  while (!stop.stop_requested() && !try_once(path))
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
}

bool FileLock::try_once(const std::filesystem::path& path) {
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0664);
  if (file < 0) throw_cache_error("cannot make the lock file", path);
  if (::flock(file, LOCK_EX | LOCK_NB) == 0) {
    // Someone may have deleted the file between our open and our flock: that lock would guard nothing.
    struct stat status{};
    if (::fstat(file, &status) == 0 && status.st_nlink > 0) {
      descriptor_ = file;
      return true;
    }
    ::close(file);
    return false;
  }
  const int why = errno;
  ::close(file);
  if (why == EWOULDBLOCK || why == EACCES || why == EINTR) return false;
  errno = why;
  throw_cache_error("cannot lock (flock)", path);
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace defectoscope
