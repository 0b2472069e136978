#include "hub/partial_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "hub/cache.h"

namespace defectoscope {

PartialFile::PartialFile(std::filesystem::path path) : path_(std::move(path)) {
  make_cache_folder(path_.parent_path());
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (descriptor_ < 0) throw_cache_error("cannot create file", path_);
  struct stat status{};
  if (::fstat(descriptor_, &status) != 0) throw_cache_error("cannot read file", path_);
  size_ = status.st_size;
}

PartialFile::~PartialFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  if (size_ == 0) ::unlink(path_.c_str());  // nothing to go on from
}

void PartialFile::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(descriptor_, bytes.data(), bytes.size(), size_);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw_cache_error("cannot write file", path_);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    size_ += written;
  }
}

void PartialFile::clear() {
  if (::ftruncate(descriptor_, 0) != 0) throw_cache_error("cannot empty file", path_);
  size_ = 0;
}

void PartialFile::read(const std::function<void(std::span<const std::byte>)>& piece) {
  std::vector<std::byte> buffer(std::size_t{1} << 20);
  for (std::int64_t at = 0; at < size_;) {
    const ssize_t count = ::pread(descriptor_, buffer.data(), buffer.size(), at);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) throw_cache_error("cannot read file", path_);
    piece(std::span(buffer).first(static_cast<std::size_t>(count)));
    at += count;
  }
}

void PartialFile::commit(const std::filesystem::path& target) {
  if (::fsync(descriptor_) != 0) throw_cache_error("cannot flush file", path_);
  const int closed = ::close(descriptor_);
  descriptor_ = -1;
  if (closed != 0) throw_cache_error("cannot close file", path_);
  if (::rename(path_.c_str(), target.c_str()) != 0) throw_cache_error("cannot rename file", target);
}

}  // namespace defectoscope
