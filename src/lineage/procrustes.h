#pragma once

#include "spectral/lapack.h"

namespace defectoscope {

/// Two spaces laid upon each other through points that both have: row i of `a` and row i of `b` are the same
/// direction, as the points have it.
struct AlignedSpaces {
  DoubleMatrix a;  ///< [r, d_A] orthonormal rows
  DoubleMatrix b;  ///< [r, d_B] orthonormal rows
  /// ‖A Q‖-weighted agreement of the points, (Σ σ_i) / (‖A‖ ‖B‖): 1 where B is A turned and scaled, 0 to 1.
  double fit = 0;

  Index dimension() const { return a.rows(); }
};

/// The orthogonal Procrustes problem (Schönemann 1966): with A [n, d_A] and B [n, d_B] the points less their
/// means and AᵀB = Σ σ_i l_i r_iᵀ, the map Q = Σ l_i r_iᵀ (semi-orthogonal where widths differ) maximizes
/// tr(Qᵀ AᵀB). Rows of the result are l_i and r_i, so that x Q yᵀ = (a x)·(b y), in order of σ. Pairs under
/// 1e-12 of the largest σ, which no points determine, are left out; so are the `removed` leading ones, a
/// quarter of all at most: what the points of unrelated models share. Where n ≤ d the points' span is all
/// that is compared. No pairs where the points are all the same. Cost: O(n d_A d_B + d_A d_B min(d_A, d_B)),
/// each d the smaller of width and n. Throws Error(kBadInput) on values that are not finite.
AlignedSpaces align_spaces(DoubleMatrix a, DoubleMatrix b, Index removed);

}  // namespace defectoscope
