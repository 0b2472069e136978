#pragma once

#include <functional>

#include "base/random.h"
#include "spectral/basis.h"

namespace defectoscope {

inline DoubleMatrix random_orthonormal(Index count, Index length, std::uint64_t seed) {
  Basis basis(length);
  basis.append(random_block(count, length, seed, 0), 0);
  DoubleMatrix rows(count, length);
  std::copy_n(basis.rows().data(), count * length, rows.data());
  return rows;
}

/// Σ value(i) left_i right_iᵀ with random singular vectors.
inline DoubleMatrix matrix_with_singular_values(Index rows, Index cols,
                                                const std::function<double(Index)>& value,
                                                std::uint64_t seed) {
  const Index rank = std::min(rows, cols);
  const DoubleMatrix left = random_orthonormal(rank, rows, seed);
  DoubleMatrix right = random_orthonormal(rank, cols, seed + 1000);
  for (Index i = 0; i < rank; ++i)
    for (double& x : right.row(i)) x *= value(i);
  DoubleMatrix a(rows, cols), transposed_left(rows, rank);
  for (Index i = 0; i < rank; ++i)
    for (Index r = 0; r < rows; ++r) transposed_left(r, i) = left(i, r);
  add_combination(1.0, transposed_left.view(), right.view(), a.view());
  return a;
}

}  // namespace defectoscope
