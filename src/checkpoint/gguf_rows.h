#pragma once

#include <cstddef>

#include "checkpoint/gguf_blocks.h"
#include "tensor/dtype.h"

namespace defectoscope {

/// What a format's values become: plain types stay as they are, quantized ones are f32.
DType gguf_dtype(const GgufFormat& format);

/// How a tensor's rows come from those of a GGUF file.
struct GgufRows {
  const GgufFormat* format;
  const std::byte* data;
  Index rows, cols;    ///< as stored; cols a multiple of the format's block
  Index heads = 0;     ///< of permuted or regrouped rows; 0 where rows stand as they did
  Index kv_heads = 0;  ///< of regrouped rows; 0 where they are permuted
  bool transposed = false;

  Index row_bytes() const { return cols / format->block_values * format->block_bytes; }
  /// Where the row of the family's own file stands.
  Index stored_row(Index row) const;
  /// Writes rows · cols values of gguf_dtype(*format), in parallel.
  void make(std::byte* out) const;

 private:
  Index permuted_row(Index row) const;
  Index regrouped_row(Index row) const;
  void read_row(Index row, std::byte* out) const;
};

}  // namespace defectoscope
