#pragma once

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>

#include "base/index.h"

namespace defectoscope {

/// `rows` rows of `cols` contiguous elements, `stride` elements apart; borrowed.
template <typename T>
class BasicMatrixView {
 public:
  BasicMatrixView() = default;
  BasicMatrixView(T* data, Index rows, Index cols, Index stride)
      : data_(data), rows_(rows), cols_(cols), stride_(stride) {}
  BasicMatrixView(T* data, Index rows, Index cols) : BasicMatrixView(data, rows, cols, cols) {}
  /// A view that may be written also serves as one that may not.
  operator BasicMatrixView<const T>() const { return {data_, rows_, cols_, stride_}; }

  Index rows() const { return rows_; }
  Index cols() const { return cols_; }
  Index stride() const { return stride_; }
  T* data() const { return data_; }
  bool empty() const { return rows_ == 0 || cols_ == 0; }
  T& operator()(Index row, Index col) const { return data_[row * stride_ + col]; }
  std::span<T> row(Index i) const { return {data_ + i * stride_, static_cast<std::size_t>(cols_)}; }
  BasicMatrixView block_rows(Index first, Index count) const {
    assert(first >= 0 && first + count <= rows_);
    return {data_ + first * stride_, count, cols_, stride_};
  }

 private:
  T* data_ = nullptr;
  Index rows_ = 0;
  Index cols_ = 0;
  Index stride_ = 0;
};

using MatrixView = BasicMatrixView<float>;
using ConstMatrixView = BasicMatrixView<const float>;

/// Owned, row-major, 64-byte aligned, zeroed. Used with T = float for states and double for dense algebra.
template <typename T>
class BasicMatrix {
 public:
  BasicMatrix() = default;
  BasicMatrix(Index rows, Index cols) : rows_(rows), cols_(cols) {
    if (rows * cols == 0) return;
    const std::size_t bytes = (static_cast<std::size_t>(rows * cols) * sizeof(T) + 63) / 64 * 64;
    void* memory = std::aligned_alloc(64, bytes);
    if (memory == nullptr) throw std::bad_alloc();
    data_.reset(static_cast<T*>(memory));
    std::fill_n(data_.get(), rows * cols, T{});
  }
  /// A copy of what a view shows.
  explicit BasicMatrix(BasicMatrixView<const T> view) : BasicMatrix(view.rows(), view.cols()) {
    for (Index r = 0; r < rows_; ++r) std::ranges::copy(view.row(r), row(r).begin());
  }
  BasicMatrix(BasicMatrix&&) noexcept = default;
  BasicMatrix& operator=(BasicMatrix&&) noexcept = default;
  BasicMatrix(const BasicMatrix& other) : BasicMatrix(other.rows_, other.cols_) {
    std::copy_n(other.data_.get(), rows_ * cols_, data_.get());
  }
  BasicMatrix& operator=(const BasicMatrix& other) { return *this = BasicMatrix(other); }

  Index rows() const { return rows_; }
  Index cols() const { return cols_; }
  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  T& operator()(Index row, Index col) { return data_[static_cast<std::size_t>(row * cols_ + col)]; }
  const T& operator()(Index row, Index col) const {
    return data_[static_cast<std::size_t>(row * cols_ + col)];
  }
  std::span<T> row(Index i) { return {data() + i * cols_, static_cast<std::size_t>(cols_)}; }
  std::span<const T> row(Index i) const { return {data() + i * cols_, static_cast<std::size_t>(cols_)}; }
  BasicMatrixView<T> view() { return {data(), rows_, cols_}; }
  BasicMatrixView<const T> view() const { return {data(), rows_, cols_}; }
  operator BasicMatrixView<T>() { return view(); }
  operator BasicMatrixView<const T>() const { return view(); }

 private:
  struct Free {
    void operator()(T* memory) const { std::free(memory); }
  };
  std::unique_ptr<T[], Free> data_;
  Index rows_ = 0;
  Index cols_ = 0;
};

using Matrix = BasicMatrix<float>;
using DoubleMatrix = BasicMatrix<double>;

}  // namespace defectoscope
