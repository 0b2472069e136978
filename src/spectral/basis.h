#pragma once

#include "spectral/lapack.h"

namespace defectoscope {

/// Orthonormal vectors of one length, grown by blocks: the basis of a Krylov space. f64.
class Basis {
 public:
  explicit Basis(Index length) : length_(length) {}

  Index size() const { return size_; }
  Index length() const { return length_; }
  ConstDoubleView rows(Index first, Index count) const { return rows_.view().block_rows(first, count); }
  ConstDoubleView rows() const { return rows(0, size_); }

  /// Adds the directions of `block` [b, length] that the basis lacks (Gram-Schmidt, twice), and returns the
  /// coefficients c [b, size()] with block = c · basis, up to directions shorter than `drop`, which are left
  /// out. Cost: 8 · b · size · length flops.
  DoubleMatrix append(DoubleMatrix block, double drop);

  /// coefficients [p, q ≤ size] · the first q vectors, as [p, length].
  DoubleMatrix combine(ConstDoubleView coefficients) const;

  /// Replaces the basis by orthonormal rows.
  void reset(DoubleMatrix rows);

 private:
  void reserve(Index count);
  Index length_;
  Index size_ = 0;
  DoubleMatrix rows_;  // [capacity, length]
};

/// Random unit-normal entries, [count, length], f64, determined by the seed alone.
DoubleMatrix random_block(Index count, Index length, std::uint64_t seed, std::uint64_t stream);

double dot(std::span<const double> x, std::span<const double> y);
double norm(std::span<const double> x);

/// f64 to f32 and back, whole matrices.
Matrix to_float(ConstDoubleView x);
DoubleMatrix to_double(ConstMatrixView x);
DoubleMatrix transposed(const DoubleMatrix& x);

}  // namespace defectoscope
