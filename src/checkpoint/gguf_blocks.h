#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/index.h"

namespace defectoscope {

/// One of ggml's ways to store numbers: in blocks that share scales.
struct GgufFormat {
  std::uint32_t type;     ///< ggml's number
  std::string_view name;  ///< "q4_k"
  Index block_values;     ///< values a block; 1 for plain types
  Index block_bytes;
  /// One block to f32; null for types that are no quantized floats.
  void (*unpack)(const std::uint8_t* block, float* out);
};

/// The format of that number, or nullptr where we do not read it.
const GgufFormat* find_gguf_format(std::uint32_t type);

}  // namespace defectoscope
