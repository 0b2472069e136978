#include "checkpoint/safetensors.h"

#include "checkpoint/safetensors_header.h"

namespace defectoscope {

std::shared_ptr<const SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path) {
  auto mapped = std::make_shared<const MappedFile>(path);
  SafetensorsHeader header = parse_safetensors_header(mapped->bytes(), path.string());
  auto file = std::make_shared<SafetensorsFile>();
  const std::byte* data = mapped->bytes().data() + header.data_begin;
  for (SafetensorsHeader::Entry& entry : header.tensors) {
    Tensor tensor{entry.name, entry.dtype, std::move(entry.shape), data + entry.begin, mapped};
    file->tensors_.emplace(std::move(entry.name), std::move(tensor));
  }
  file->metadata_ = std::move(header.metadata);
  file->file_ = std::move(mapped);
  return file;
}

}  // namespace defectoscope
