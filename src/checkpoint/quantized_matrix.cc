#include "checkpoint/quantized_matrix.h"

#include <cstring>

#include "base/parallel.h"

namespace defectoscope {
namespace {

constexpr Index kRowsAtOnce = 64;

}  // namespace

void QuantizedMatrix::make(std::byte* out) const {
  if (cols == 0) return;
  parallel_ranges(rows, kRowsAtOnce, [&](Index begin, Index end) {
    std::vector<float> row(static_cast<std::size_t>(cols));
    for (Index r = begin; r < end; ++r) {
      read_codes(r, row);
      const float* scale = scales.data() + r / row_block * groups;
      const float* zero = zeros.empty() ? nullptr : zeros.data() + r / row_block * groups;
      for (Index c = 0; c < cols; ++c) {
        const auto at = static_cast<std::size_t>(c);
        const Index group = column_group.empty() ? c / group_size : column_group[at];
        row[at] = scale[group] * (zero == nullptr ? row[at] : row[at] - zero[group]);
      }
      std::memcpy(out + r * cols * static_cast<Index>(sizeof(float)), row.data(), row.size() * sizeof(float));
    }
  });
}

}  // namespace defectoscope
