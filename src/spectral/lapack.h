#pragma once

#include <complex>
#include <vector>

#include "base/index.h"
#include "tensor/matrix.h"

namespace defectoscope {

// OpenBLAS and LAPACK split their sums by thread: every call here runs on one library thread.

using DoubleView = BasicMatrixView<double>;
using ConstDoubleView = BasicMatrixView<const double>;

/// c [p, q] = a [p, n] · b [q, n]ᵀ: all dot products of rows. Tiled over b's rows, one library thread a tile.
void rows_by_rows(ConstDoubleView a, ConstDoubleView b, DoubleView c);
/// y [p, n] += scale · c [p, q] · b [q, n]. Tiled over columns.
void add_combination(double scale, ConstDoubleView c, ConstDoubleView b, DoubleView y);

/// a = Σ_i values[i] left_i right_iᵀ, vectors as rows; values descending. LAPACK's dgesdd, or dgesvd where
/// that does not converge. Throws Error(kBadInput) on a value that is not finite.
struct SmallSvd {
  std::vector<double> values;
  DoubleMatrix left;   ///< [min, rows]
  DoubleMatrix right;  ///< [min, cols]
};
SmallSvd lapack_svd(ConstDoubleView a);

/// The `count` largest eigenvalues of a symmetric matrix, descending, with unit eigenvectors as rows
/// (dsyevr).
struct SymmetricEigen {
  std::vector<double> values;
  DoubleMatrix vectors;  ///< [count, n]
};
SymmetricEigen lapack_top_symmetric(const DoubleMatrix& a, Index count);

/// Right eigenvectors of a real square matrix (dgeev): x_i = re_i + i·im_i, unit norm, largest component
/// real. Throws Error(kBadInput) on a value that is not finite or where the QR iteration fails.
struct GeneralEigen {
  std::vector<std::complex<double>> values;
  DoubleMatrix re, im;  ///< [n, n], one vector a row; im rows of real eigenvalues are zero
};
GeneralEigen lapack_eigen(ConstDoubleView a);

}  // namespace defectoscope
