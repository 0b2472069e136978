#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace defectoscope {

/// A whole file mapped read-only. Pages are read when touched; the view stays valid while the object lives.
class MappedFile {
 public:
  /// Throws Error(kBadInput) where there is no such file or it is no regular file, kResources where it
  /// cannot be mapped. An empty file gives an empty view.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

/// A file that appears under its name only when it is complete: written beside it under a temporary
/// name, then flushed to disk and renamed. Without commit() nothing is left behind.
class AtomicFile {
 public:
  /// Throws Error(kResources) where the folder cannot be written to.
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Throws Error(kResources), naming file and cause (disk full, ...).
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  void commit();

 private:
  [[noreturn]] void fail(const char* action);
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
  std::int64_t written_ = 0;
  std::int64_t sent_ = 0;  ///< of these, handed to the disk
};

/// AtomicFile in one call.
void write_file(const std::filesystem::path& path, std::string_view text);
/// The whole file as text. Throws Error(kBadInput) where it is missing.
std::string read_file(const std::filesystem::path& path);
/// Makes a folder and its parents. Throws Error(kResources) with the cause.
void make_folder(const std::filesystem::path& path);

}  // namespace defectoscope
