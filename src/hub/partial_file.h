#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>

namespace defectoscope {

/// The beginning of a file that is still to come; what is written stays, for another time to go on from.
/// Every function throws Error(kResources) with the cause (disk full, ...).
class PartialFile {
 public:
  /// Opens it, or makes it empty.
  explicit PartialFile(std::filesystem::path path);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  std::int64_t size() const { return size_; }
  void append(std::span<const std::byte> bytes);
  void clear();
  /// Hands over all that is there, piece by piece.
  void read(const std::function<void(std::span<const std::byte>)>& piece);
  /// Flushes to the disk, and gives it the name `target`.
  void commit(const std::filesystem::path& target);

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::int64_t size_ = 0;
};

}  // namespace defectoscope
