// Weights of eight bits beside their scales.
#include <algorithm>
#include <cstring>

#include "checkpoint/quantized_matrix.h"
#include "checkpoint/quantized_parts.h"

namespace defectoscope {
namespace {

const std::vector<DType> kScaleTypes = {DType::kF32, DType::kBF16, DType::kF16};
constexpr float kLargestInt8 = 127;

/// How scales of that shape divide a weight.
struct Blocks {
  Index row_block, groups, group_size;
};

Blocks blocks_of(const QuantizedParts& parts, const Tensor& scales, Index rows, Index cols) {
  const Quantization& scheme = parts.scheme();
  if (scales.elements() == 1) return {rows, 1, cols};
  const std::vector<Index>& shape = scales.shape;
  if (!shape.empty() && shape.size() <= 2 && shape[0] == rows) {
    const Index groups = shape.size() == 1 ? 1 : shape[1];
    if (groups > 0 && cols % groups == 0) return {1, groups, cols / groups};
  }
  const auto over = [](Index size, Index block) { return (size + block - 1) / block; };
  parts.expect(scales, {over(rows, scheme.block_rows), over(cols, scheme.block_cols)});
  return {scheme.block_rows, shape[1], scheme.block_cols};
}

template <typename T>
void integers(const std::byte* data, Index count, float* out) {
  for (Index i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, data + i * static_cast<Index>(sizeof value), sizeof value);
    out[i] = static_cast<float>(value);
  }
}

/// Codes and zero points, of integers or f8, as numbers.
void to_numbers(DType type, const std::byte* data, Index count, float* out) {
  switch (type) {
    case DType::kI8:
      return integers<std::int8_t>(data, count, out);
    case DType::kI32:
      return integers<std::int32_t>(data, count, out);
    case DType::kI64:
      return integers<std::int64_t>(data, count, out);
    default:
      return convert_to_f32(type, data, count, out);
  }
}

}  // namespace

QuantizedWeight scale_weight(const QuantizedParts& parts) {
  const Tensor codes = parts.get("weight", 2, {DType::kI8, DType::kF8E4M3, DType::kF8E5M2});
  const Index rows = codes.shape[0], cols = codes.shape[1];
  std::string_view name = "weight_scale";
  if (parts.find("weight_scale_inv")) name = "weight_scale_inv";
  if (parts.find("SCB")) name = "SCB";
  std::optional<Tensor> scales = parts.find(name);
  if (!scales && codes.dtype == DType::kI8)
    parts.fail("weight", "int8 weight without scales", "weight_scale or SCB beside it", "none");
  Blocks blocks{rows, 1, cols};
  QuantizedWeight result;
  result.described = {codes.name, DType::kF32, codes.shape, nullptr, nullptr};
  const auto bytes = [](const Tensor& tensor) {
    return std::span(tensor.data, static_cast<std::size_t>(tensor.bytes()));
  };
  result.stored = {std::string(dtype_name(codes.dtype)), codes.shape, bytes(codes), codes.owner, {}};
  std::optional<Tensor> zeros = parts.find("weight_zero_point");
  if (zeros && !scales)
    parts.fail("weight_zero_point", "zero points without scales", "weight_scale beside them", "none");
  if (scales) {
    scales = parts.get(name, scales->shape.size(), kScaleTypes);
    blocks = blocks_of(parts, *scales, rows, cols);
    result.stored.scales.push_back(bytes(*scales));
    if (zeros) {
      zeros = parts.get("weight_zero_point", scales->shape.size(), {DType::kI8, DType::kI32, DType::kI64});
      parts.expect(*zeros, scales->shape);
      result.stored.scales.push_back(bytes(*zeros));
    }
  }
  const float unit = name == "SCB" ? 1 / kLargestInt8 : 1;
  result.maker = [=](std::byte* out) {
    QuantizedMatrix matrix;
    matrix.rows = rows;
    matrix.cols = cols;
    matrix.row_block = std::max<Index>(1, blocks.row_block);
    matrix.groups = blocks.groups;
    matrix.group_size = std::max<Index>(1, blocks.group_size);
    matrix.scales = scales ? to_f32(*scales) : std::vector<float>(1, 1.0f);
    for (float& scale : matrix.scales) scale *= unit;
    if (zeros) {
      matrix.zeros.resize(matrix.scales.size());
      to_numbers(zeros->dtype, zeros->data, zeros->elements(), matrix.zeros.data());
    }
    matrix.read_codes = [&](Index row, std::span<float> values) {
      to_numbers(codes.dtype, codes.data + row * cols, cols, values.data());
    };
    matrix.make(out);
  };
  return result;
}

}  // namespace defectoscope
