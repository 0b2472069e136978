#include "checkpoint/row_order.h"

#include <cstring>

#include "base/parallel.h"

namespace defectoscope {
namespace {

constexpr Index kMovedRowsAtOnce = 64;
constexpr Index kMostHeads = Index{1} << 30;  // so that sums of them fit

}  // namespace

Index RowOrder::stored_row(Index row) const {
  if (heads == 0) return row;
  return kv_heads == 0 ? permuted_row(row) : regrouped_row(row);
}

/// Halves of a head against neighbours.
Index RowOrder::permuted_row(Index row) const {
  const Index size = rows / heads, half = size / 2, within = row % size;
  return row - within + 2 * (within % half) + within / half;
}

/// Each group of queries, key and value against all queries, all keys, all values.
Index RowOrder::regrouped_row(Index row) const {
  const Index head = rows / (heads + 2 * kv_heads), queries = heads / kv_heads * head;
  const Index group = row / (queries + 2 * head), within = row % (queries + 2 * head);
  if (within < queries) return group * queries + within;
  const Index part = (within - queries) / head;  // 0: key, 1: value
  return heads * head + (part * kv_heads + group) * head + (within - queries) % head;
}

void RowOrder::make(DType type, const ReadRow& read, std::byte* out) const {
  const Index size = dtype_size(type);
  parallel_ranges(rows, kMovedRowsAtOnce, [&](Index begin, Index end) {
    std::vector<float> scratch(transposed ? static_cast<std::size_t>(cols * size) / sizeof(float) + 1 : 0);
    for (Index row = begin; row < end; ++row) {
      if (!transposed) {
        read(stored_row(row), out + row * cols * size);
        continue;
      }
      const auto values = reinterpret_cast<std::byte*>(scratch.data());
      read(stored_row(row), values);
      for (Index col = 0; col < cols; ++col)
        std::memcpy(out + (col * rows + row) * size, values + col * size, static_cast<std::size_t>(size));
    }
  });
}

bool undo_row_change(RowChange change, Index heads, Index kv_heads, std::vector<Index>& shape,
                     RowOrder& order) {
  order = {1, shape.empty() ? 1 : shape.back()};
  for (std::size_t i = 0; i + 1 < shape.size(); ++i) order.rows *= shape[i];
  if (change == RowChange::kNone) return true;
  if (change == RowChange::kOneRow) {
    if (shape.size() == 1) shape.insert(shape.begin(), 1);
    return true;
  }
  if (change == RowChange::kTransposed) {
    if (shape.size() != 2) return false;
    order.transposed = true;
    std::swap(shape[0], shape[1]);
    return true;
  }
  if (shape.size() == 1) std::swap(order.rows, order.cols);  // a bias: one value a row
  if (heads <= 0 || kv_heads <= 0 || heads > kMostHeads || kv_heads > kMostHeads) return false;
  if (change == RowChange::kRegrouped) {
    order.heads = heads;
    order.kv_heads = kv_heads;
    return heads % kv_heads == 0 && order.rows % (heads + 2 * kv_heads) == 0;
  }
  order.heads = change == RowChange::kPermutedQuery ? heads : kv_heads;
  return order.rows % (2 * order.heads) == 0;
}

}  // namespace defectoscope
