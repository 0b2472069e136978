#pragma once

#include <functional>
#include <span>
#include <vector>

#include "base/index.h"

namespace defectoscope {

/// A weight [rows = outputs, cols = inputs] stored in few bits: value (r, c) = scale · (code − zero), where
/// scale and zero are those of the block that r and c's group fall into.
struct QuantizedMatrix {
  Index rows = 0, cols = 0;
  std::function<void(Index row, std::span<float> codes)> read_codes;  ///< [cols]; from any thread

  Index row_block = 1;              ///< rows that share scales
  Index groups = 1;                 ///< scales a row
  Index group_size = 1;             ///< columns that share a scale, the last group may have fewer
  std::vector<float> scales;        ///< [ceil(rows / row_block), groups]
  std::vector<float> zeros;         ///< the same; empty: 0
  std::vector<Index> column_group;  ///< [cols] where columns are in no order; empty: by group_size

  /// All values as f32, row-major, in parallel.
  void make(std::byte* out) const;
};

}  // namespace defectoscope
