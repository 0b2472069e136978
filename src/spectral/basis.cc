#include "spectral/basis.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/random.h"

namespace defectoscope {

DoubleMatrix Basis::append(DoubleMatrix block, double drop) {
  const Index count = block.rows(), before = size_;
  reserve(size_ + count);
  DoubleMatrix coefficients(count, size_ + count);
  std::vector<double> original(static_cast<std::size_t>(count));
  for (Index i = 0; i < count; ++i) original[static_cast<std::size_t>(i)] = norm(block.row(i));

  if (before > 0) {
    DoubleMatrix part(count, before);
    for (int round = 0; round < 2; ++round) {
      rows_by_rows(block.view(), rows(), part.view());
      add_combination(-1.0, part.view(), rows(), block.view());
      for (Index i = 0; i < count; ++i)
        for (Index k = 0; k < before; ++k) coefficients(i, k) += part(i, k);
    }
  }
  for (Index i = 0; i < count; ++i) {
    const std::span<double> x = block.row(i);
    for (int round = 0; round < 2; ++round)
      for (Index k = before; k < size_; ++k) {
        const std::span<const double> q = rows_.row(k);
        const double c = dot(x, q);
        coefficients(i, k) += c;
        for (std::size_t j = 0; j < x.size(); ++j) x[j] -= c * q[j];
      }
    double length = norm(x);
    if (length <= drop || length == 0) continue;
    if (length < 0.1 * original[static_cast<std::size_t>(i)]) {
      // Cancellation has magnified the rounding errors along the old vectors: clean them out once more.
      DoubleMatrix part(1, size_);
      const DoubleView row(x.data(), 1, length_);
      rows_by_rows(row, rows(), part.view());
      add_combination(-1.0, part.view(), rows(), row);
      for (Index k = 0; k < size_; ++k) coefficients(i, k) += part(0, k);
      length = norm(x);
      if (length <= drop || length == 0) continue;
    }
    coefficients(i, size_) = length;
    const std::span<double> q = rows_.row(size_);
    for (std::size_t j = 0; j < x.size(); ++j) q[j] = x[j] / length;
    ++size_;
  }
  DoubleMatrix trimmed(count, size_);
  for (Index i = 0; i < count; ++i) std::copy_n(coefficients.row(i).begin(), size_, trimmed.row(i).begin());
  return trimmed;
}

DoubleMatrix Basis::combine(ConstDoubleView coefficients) const {
  DoubleMatrix out(coefficients.rows(), length_);
  add_combination(1.0, coefficients, rows(0, coefficients.cols()), out.view());
  return out;
}

void Basis::reset(DoubleMatrix rows) {
  size_ = rows.rows();
  rows_ = std::move(rows);
}

void Basis::reserve(Index count) {
  if (count <= rows_.rows()) return;
  DoubleMatrix larger(std::max(count, 2 * rows_.rows()), length_);
  std::copy_n(rows_.data(), size_ * length_, larger.data());
  rows_ = std::move(larger);
}

DoubleMatrix random_block(Index count, Index length, std::uint64_t seed, std::uint64_t stream) {
  DoubleMatrix block(count, length);
  for (Index i = 0; i < count; ++i) {
    Random random(seed, stream + static_cast<std::uint64_t>(i));
    for (double& value : block.row(i)) value = random.normal();
  }
  return block;
}

double dot(std::span<const double> x, std::span<const double> y) {
  // Four sums side by side: fixed order, and the processor need not wait for one addition to end.
  double sums[4] = {};
  std::size_t i = 0;
  for (; i + 4 <= x.size(); i += 4)
    for (std::size_t k = 0; k < 4; ++k) sums[k] += x[i + k] * y[i + k];
  for (; i < x.size(); ++i) sums[0] += x[i] * y[i];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

double norm(std::span<const double> x) { return std::sqrt(dot(x, x)); }

Matrix to_float(ConstDoubleView x) {
  Matrix out(x.rows(), x.cols());
  for (Index r = 0; r < x.rows(); ++r)
    std::ranges::transform(x.row(r), out.row(r).begin(), [](double v) { return static_cast<float>(v); });
  return out;
}

DoubleMatrix to_double(ConstMatrixView x) {
  DoubleMatrix out(x.rows(), x.cols());
  for (Index r = 0; r < x.rows(); ++r)
    std::ranges::transform(x.row(r), out.row(r).begin(), [](float v) { return static_cast<double>(v); });
  return out;
}

DoubleMatrix transposed(const DoubleMatrix& x) {
  DoubleMatrix out(x.cols(), x.rows());
  for (Index r = 0; r < x.rows(); ++r)
    for (Index c = 0; c < x.cols(); ++c) out(c, r) = x(r, c);
  return out;
}

}  // namespace defectoscope
