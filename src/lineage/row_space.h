#pragma once

#include "spectral/lapack.h"

namespace defectoscope {

// Of a matrix x [n, d] of samples as rows, f64.

void remove_column_means(DoubleMatrix& x);
void remove_row_means(DoubleMatrix& x);

/// x xᵀ where n < d, xᵀ x otherwise. Cost: 2 n d min(n, d) flops.
DoubleMatrix gram_of_shorter_side(const DoubleMatrix& x);

/// The right singular vectors of the `count` largest singular values of x as orthonormal rows, from the Gram
/// matrix of its shorter side; fewer where x is of lower rank (singular values under 1e-6 of the largest).
DoubleMatrix leading_right(const DoubleMatrix& x, Index count);

}  // namespace defectoscope
