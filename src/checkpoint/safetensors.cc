#include "checkpoint/safetensors.h"

#include "checkpoint/safetensors_header.h"

namespace defectoscope {

std::shared_ptr<const SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path) {
  const auto mapped = std::make_shared<const MappedFile>(path);
  return read(mapped->bytes(), mapped, path);
}

std::shared_ptr<const SafetensorsFile> SafetensorsFile::read(std::span<const std::byte> bytes,
                                                             const std::shared_ptr<const void>& owner,
                                                             const std::filesystem::path& name) {
  SafetensorsHeader header = parse_safetensors_header(bytes, name.string());
  auto file = std::make_shared<SafetensorsFile>();
  const std::byte* data = bytes.data() + header.data_begin;
  for (SafetensorsHeader::Entry& entry : header.tensors) {
    Tensor tensor{entry.name, entry.dtype, std::move(entry.shape), data + entry.begin, owner};
    file->tensors_.emplace(std::move(entry.name), std::move(tensor));
  }
  file->metadata_ = std::move(header.metadata);
  file->path_ = name;
  return file;
}

}  // namespace defectoscope
