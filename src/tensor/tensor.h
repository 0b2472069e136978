#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/index.h"
#include "tensor/dtype.h"
#include "tensor/matrix.h"

namespace defectoscope {

/// A stored tensor, row-major and contiguous, used in place: usually a piece of a mapped file that `owner`
/// keeps alive.
struct Tensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<Index> shape;
  const std::byte* data = nullptr;
  std::shared_ptr<const void> owner;

  Index elements() const;
  Index bytes() const { return elements() * dtype_size(dtype); }
  bool defined() const { return data != nullptr; }
  /// "[32000, 4096]"
  std::string shape_text() const;
};

std::string shape_text(std::span<const Index> shape);

/// A weight matrix [rows = outputs, cols = inputs], row-major, rows `stride` elements apart; f32, f16 or
/// bf16. Borrowed from a mapped file, or owned where loading had to transpose; `owner` keeps either alive.
/// `name` is the checkpoint's tensor name, for messages and recipes.
struct WeightMatrix {
  std::string name;
  DType dtype = DType::kF32;
  Index rows = 0;
  Index cols = 0;
  Index stride = 0;
  const std::byte* data = nullptr;
  std::shared_ptr<const void> owner;

  bool defined() const { return data != nullptr; }
  const std::byte* row_data(Index row) const { return data + row * stride * dtype_size(dtype); }
  /// Rows [first, first + count) of the same memory.
  WeightMatrix slice_rows(Index first, Index count) const;
  /// One row as f32; out has cols elements.
  void copy_row(Index row, std::span<float> out) const;
  double at(Index row, Index col) const;
};

/// The whole of a two-dimensional float tensor; throws Error(kBadInput) on another rank or dtype.
WeightMatrix as_weight_matrix(const Tensor& tensor);
/// An owned [cols, rows] copy in the same dtype (GPT-2 stores its matrices [in, out]).
WeightMatrix transposed(const WeightMatrix& matrix);
/// An owned f32 weight with the given values.
WeightMatrix make_weight_matrix(const Matrix& values, std::string name = "");
/// An owned weight of dtype f32, f16 or bf16, values rounded to nearest.
WeightMatrix make_weight_matrix(const Matrix& values, DType dtype, std::string name = "");

/// Any float tensor as f32, in its own order. Throws Error(kBadInput) on an integer tensor.
std::vector<float> to_f32(const Tensor& tensor);
/// `count` values of `dtype` (f64, f32, f16, bf16, f8) from `data` to f32.
void convert_to_f32(DType dtype, const std::byte* data, Index count, float* out);
/// The reverse, rounding to nearest even; dtype f32, f16 or bf16, or i8, whose values must be integers it
/// holds.
void convert_from_f32(DType dtype, const float* values, Index count, std::byte* out);

}  // namespace defectoscope
