#include "checkpoint/gguf_rows.h"

#include <cstring>
#include <vector>

#include "base/parallel.h"

namespace defectoscope {
namespace {

constexpr Index kRowsAtOnce = 64;

}  // namespace

DType gguf_dtype(const GgufFormat& format) {
  if (format.unpack != nullptr) return DType::kF32;
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kF64, DType::kI8, DType::kI16,
                           DType::kI32, DType::kI64})
    if (dtype_name(type) == format.name) return type;
  return DType::kU8;  // not reached: every plain format has its dtype
}

Index GgufRows::stored_row(Index row) const {
  if (heads == 0) return row;
  return kv_heads == 0 ? permuted_row(row) : regrouped_row(row);
}

/// Halves of a head against neighbours.
Index GgufRows::permuted_row(Index row) const {
  const Index size = rows / heads, half = size / 2, within = row % size;
  return row - within + 2 * (within % half) + within / half;
}

/// Each group of queries, key and value against all queries, all keys, all values.
Index GgufRows::regrouped_row(Index row) const {
  const Index head = rows / (heads + 2 * kv_heads), queries = heads / kv_heads * head;
  const Index group = row / (queries + 2 * head), within = row % (queries + 2 * head);
  if (within < queries) return group * queries + within;
  const Index part = (within - queries) / head;  // 0: key, 1: value
  return heads * head + (part * kv_heads + group) * head + (within - queries) % head;
}

void GgufRows::read_row(Index row, std::byte* out) const {
  const std::byte* from = data + stored_row(row) * row_bytes();
  if (format->unpack == nullptr) {
    std::memcpy(out, from, static_cast<std::size_t>(row_bytes()));
    return;
  }
  for (Index block = 0; block < cols / format->block_values; ++block)
    format->unpack(reinterpret_cast<const std::uint8_t*>(from + block * format->block_bytes),
                   reinterpret_cast<float*>(out) + block * format->block_values);
}

void GgufRows::make(std::byte* out) const {
  const Index size = dtype_size(gguf_dtype(*format));
  parallel_ranges(rows, kRowsAtOnce, [&](Index begin, Index end) {
    std::vector<float> scratch(transposed ? static_cast<std::size_t>(cols * size) / sizeof(float) + 1 : 0);
    for (Index row = begin; row < end; ++row) {
      if (!transposed) {
        read_row(row, out + row * cols * size);
        continue;
      }
      const auto values = reinterpret_cast<std::byte*>(scratch.data());
      read_row(row, values);
      for (Index col = 0; col < cols; ++col)
        std::memcpy(out + (col * rows + row) * size, values + col * size, static_cast<std::size_t>(size));
    }
  });
}

}  // namespace defectoscope
