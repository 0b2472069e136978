#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/files.h"
#include "tensor/tensor.h"

namespace defectoscope {

/// A parsed safetensors file: header checked against the file in full, data mapped.
class SafetensorsFile {
 public:
  /// Throws Error(kBadInput) naming file and tensor: header longer than the file or than 100 MB, invalid
  /// JSON, duplicate keys, unknown dtype, negative or overflowing shape, offsets out of range, overlapping or
  /// not matching dtype and shape, truncated data.
  static std::shared_ptr<const SafetensorsFile> open(const std::filesystem::path& path);
  /// The same of a file's bytes in memory, which `owner` keeps alive; `name` is what messages call it.
  static std::shared_ptr<const SafetensorsFile> read(std::span<const std::byte> bytes,
                                                     const std::shared_ptr<const void>& owner,
                                                     const std::filesystem::path& name);

  const std::map<std::string, Tensor, std::less<>>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::map<std::string, Tensor, std::less<>> tensors_;
  std::map<std::string, std::string> metadata_;
};

/// Writes a safetensors file tensor by tensor without holding them: all headers first, then the data in
/// order.
class SafetensorsWriter {
 public:
  struct Entry {
    std::string name;
    DType dtype;
    std::vector<Index> shape;
  };
  /// Entries are laid out in the order given. Throws Error(kResources) where the file cannot be written.
  SafetensorsWriter(const std::filesystem::path& path, const std::vector<Entry>& entries,
                    const std::map<std::string, std::string>& metadata = {});
  /// The next piece of data of the next entries, in order; pieces may be of any size.
  void append(std::span<const std::byte> bytes);
  /// Complete only now: throws std::logic_error where bytes are missing or too many. Atomic (AtomicFile).
  void commit();

 private:
  AtomicFile file_;
  Index expected_ = 0;
  Index written_ = 0;
};

/// Small tensors in one call.
void write_safetensors(const std::filesystem::path& path, const std::vector<Tensor>& tensors,
                       const std::map<std::string, std::string>& metadata = {});
/// What that file would hold.
std::string safetensors_bytes(const std::vector<Tensor>& tensors,
                              const std::map<std::string, std::string>& metadata = {});

}  // namespace defectoscope
