#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/index.h"
#include "tensor/dtype.h"

namespace defectoscope {

/// What the head of a safetensors file says, checked against the file's size in full.
///
/// The format: 8 bytes little-endian length n, n bytes of JSON {"name": {"dtype", "shape", "data_offsets":
/// [begin, end]}, "__metadata__": {text: text}}, then the data that the offsets count in.
struct SafetensorsHeader {
  struct Entry {
    std::string name;
    DType dtype = DType::kF32;
    std::vector<Index> shape;
    Index begin = 0;  ///< bytes from the start of the data
    Index end = 0;
  };
  std::vector<Entry> tensors;  ///< in the order of their data
  std::map<std::string, std::string> metadata;
  Index data_begin = 0;  ///< bytes from the start of the file
};

/// `file` is the whole file (only its header is read), `name` what messages call it. Throws as
/// SafetensorsFile::open does. Memory: in proportion to the header.
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file, const std::string& name);

/// The format's own spelling, "BF16".
std::string_view safetensors_dtype(DType type);

}  // namespace defectoscope
