#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "checkpoint/safetensors.h"
#include "checkpoint/safetensors_header.h"

namespace defectoscope {
namespace {

std::string header_text(const std::vector<SafetensorsWriter::Entry>& entries,
                        const std::map<std::string, std::string>& metadata, Index& data_size) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::set<std::string> names;
  for (const SafetensorsWriter::Entry& entry : entries) {
    if (!names.insert(entry.name).second) throw std::logic_error("two tensors of one name: " + entry.name);
    Index size = dtype_size(entry.dtype);
    for (const Index extent : entry.shape) size *= extent;
    header.push_back({entry.name,
                      {{"dtype", safetensors_dtype(entry.dtype)},
                       {"shape", entry.shape},
                       {"data_offsets", {data_size, data_size + size}}}});
    data_size += size;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the data begin aligned
  return text;
}

/// The bytes before the data: the header's length, then the header.
std::string head(const std::vector<SafetensorsWriter::Entry>& entries,
                 const std::map<std::string, std::string>& metadata, Index& data_size) {
  const std::string text = header_text(entries, metadata, data_size);
  const std::uint64_t length = text.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + text;
}

std::vector<SafetensorsWriter::Entry> entries_of(const std::vector<Tensor>& tensors) {
  std::vector<SafetensorsWriter::Entry> entries;
  entries.reserve(tensors.size());
  for (const Tensor& tensor : tensors) entries.push_back({tensor.name, tensor.dtype, tensor.shape});
  return entries;
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path, const std::vector<Entry>& entries,
                                     const std::map<std::string, std::string>& metadata)
    : file_(path) {
  file_.write(head(entries, metadata, expected_));
}

void SafetensorsWriter::append(std::span<const std::byte> bytes) {
  file_.write(bytes);
  written_ += static_cast<Index>(bytes.size());
}

void SafetensorsWriter::commit() {
  if (written_ != expected_)
    throw std::logic_error("safetensors data: " + std::to_string(written_) + " bytes written of " +
                           std::to_string(expected_));
  file_.commit();
}

void write_safetensors(const std::filesystem::path& path, const std::vector<Tensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  SafetensorsWriter writer(path, entries_of(tensors), metadata);
  for (const Tensor& tensor : tensors) writer.append({tensor.data, static_cast<std::size_t>(tensor.bytes())});
  writer.commit();
}

std::string safetensors_bytes(const std::vector<Tensor>& tensors,
                              const std::map<std::string, std::string>& metadata) {
  Index data_size = 0;
  std::string bytes = head(entries_of(tensors), metadata, data_size);
  bytes.reserve(bytes.size() + static_cast<std::size_t>(data_size));
  for (const Tensor& tensor : tensors)
    bytes.append(reinterpret_cast<const char*>(tensor.data), static_cast<std::size_t>(tensor.bytes()));
  return bytes;
}

}  // namespace defectoscope
