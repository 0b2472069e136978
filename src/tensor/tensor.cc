#include "tensor/tensor.h"

#include <cstring>

#include "base/error.h"

namespace defectoscope {
namespace {

template <typename T>
T load(const std::byte* data, Index i) {
  T value;
  std::memcpy(&value, data + i * static_cast<Index>(sizeof(T)), sizeof(T));
  return value;
}

template <typename T>
void store(std::byte* data, Index i, T value) {
  std::memcpy(data + i * static_cast<Index>(sizeof(T)), &value, sizeof(T));
}

std::shared_ptr<std::byte> allocate(Index bytes) {
  const auto rounded = (static_cast<std::size_t>(bytes) + 63) / 64 * 64;
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(64, rounded == 0 ? 64 : rounded));
  if (memory == nullptr) throw std::bad_alloc();
  return {memory, [](std::byte* p) { std::free(p); }};
}

}  // namespace

Index Tensor::elements() const {
  Index count = 1;
  for (const Index extent : shape) count *= extent;
  return count;
}

std::string Tensor::shape_text() const { return defectoscope::shape_text(shape); }

std::string shape_text(std::span<const Index> shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

WeightMatrix WeightMatrix::slice_rows(Index first, Index count) const {
  assert(first >= 0 && count >= 0 && first + count <= rows);
  WeightMatrix slice = *this;
  slice.data = row_data(first);
  slice.rows = count;
  return slice;
}

void WeightMatrix::copy_row(Index row, std::span<float> out) const {
  assert(static_cast<Index>(out.size()) == cols);
  convert_to_f32(dtype, row_data(row), cols, out.data());
}

double WeightMatrix::at(Index row, Index col) const {
  float value = 0;
  convert_to_f32(dtype, row_data(row) + col * dtype_size(dtype), 1, &value);
  return static_cast<double>(value);
}

WeightMatrix as_weight_matrix(const Tensor& tensor) {
  if (tensor.shape.size() != 2)
    throw_bad_input({.what = "wrong tensor rank",
                     .tensor = tensor.name,
                     .expected = "two dimensions",
                     .got = tensor.shape_text()});
  if (!is_float_compute(tensor.dtype))
    throw_bad_input({.what = "wrong tensor dtype",
                     .tensor = tensor.name,
                     .expected = "f32, f16 or bf16",
                     .got = std::string(dtype_name(tensor.dtype))});
  return {tensor.name,     tensor.dtype, tensor.shape[0], tensor.shape[1],
          tensor.shape[1], tensor.data,  tensor.owner};
}

WeightMatrix transposed(const WeightMatrix& matrix) {
  const Index size = dtype_size(matrix.dtype);
  const std::shared_ptr<std::byte> memory = allocate(matrix.rows * matrix.cols * size);
  constexpr Index kTile = 32;
  for (Index r0 = 0; r0 < matrix.rows; r0 += kTile)
    for (Index c0 = 0; c0 < matrix.cols; c0 += kTile)
      for (Index r = r0; r < std::min(r0 + kTile, matrix.rows); ++r)
        for (Index c = c0; c < std::min(c0 + kTile, matrix.cols); ++c)
          std::memcpy(memory.get() + (c * matrix.rows + r) * size, matrix.row_data(r) + c * size,
                      static_cast<std::size_t>(size));
  return {matrix.name, matrix.dtype, matrix.cols, matrix.rows, matrix.rows, memory.get(), memory};
}

WeightMatrix make_weight_matrix(const Matrix& values, std::string name) {
  return make_weight_matrix(values, DType::kF32, std::move(name));
}

WeightMatrix make_weight_matrix(const Matrix& values, DType dtype, std::string name) {
  const std::shared_ptr<std::byte> memory = allocate(values.rows() * values.cols() * dtype_size(dtype));
  convert_from_f32(dtype, values.data(), values.rows() * values.cols(), memory.get());
  return {std::move(name), dtype, values.rows(), values.cols(), values.cols(), memory.get(), memory};
}

std::vector<float> to_f32(const Tensor& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  convert_to_f32(tensor.dtype, tensor.data, tensor.elements(), values.data());
  return values;
}

void convert_to_f32(DType dtype, const std::byte* data, Index count, float* out) {
  switch (dtype) {
    case DType::kF64:
      for (Index i = 0; i < count; ++i) out[i] = static_cast<float>(load<double>(data, i));
      return;
    case DType::kF32:  // memcpy takes no null, not even for nothing
      if (count > 0) std::memcpy(out, data, static_cast<std::size_t>(count) * sizeof(float));
      return;
    case DType::kF16:
      for (Index i = 0; i < count; ++i) out[i] = f16_to_f32(load<std::uint16_t>(data, i));
      return;
    case DType::kBF16:
      for (Index i = 0; i < count; ++i) out[i] = bf16_to_f32(load<std::uint16_t>(data, i));
      return;
    case DType::kF8E4M3:
      for (Index i = 0; i < count; ++i) out[i] = f8_e4m3_to_f32(load<std::uint8_t>(data, i));
      return;
    case DType::kF8E5M2:
      for (Index i = 0; i < count; ++i) out[i] = f8_e5m2_to_f32(load<std::uint8_t>(data, i));
      return;
    default:
      throw_bad_input(
          {.what = "wrong tensor dtype", .expected = "a float type", .got = std::string(dtype_name(dtype))});
  }
}

void convert_from_f32(DType dtype, const float* values, Index count, std::byte* out) {
  switch (dtype) {
    case DType::kF32:
      std::memcpy(out, values, static_cast<std::size_t>(count) * sizeof(float));
      return;
    case DType::kF16:
      for (Index i = 0; i < count; ++i) store(out, i, f32_to_f16(values[i]));
      return;
    case DType::kBF16:
      for (Index i = 0; i < count; ++i) store(out, i, f32_to_bf16(values[i]));
      return;
    case DType::kI8:
      for (Index i = 0; i < count; ++i) out[i] = static_cast<std::byte>(static_cast<std::int8_t>(values[i]));
      return;
    default:
      throw_bad_input({.what = "wrong tensor dtype",
                       .expected = "f32, f16, bf16 or i8",
                       .got = std::string(dtype_name(dtype))});
  }
}

}  // namespace defectoscope
