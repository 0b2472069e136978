#pragma once

#include <cstdint>
#include <vector>

#include "spectral/linear_operator.h"

namespace defectoscope {

struct SingularOptions {
  Index count = 2;          ///< leading triplets wanted; at most min(rows, cols) are found
  Index block = 8;          ///< vectors per pass; at least count + 1 are used
  double tolerance = 1e-5;  ///< residual / σ1 of the leading triplet at which to stop
  /// residual / σ1 that the others must reach as well: an exact singular value lies within that of each.
  double others_tolerance = 2e-2;
  Index max_passes = 60;   ///< A and Aᵀ each count one; the last two measure the result; at least 4
  Index max_basis = 1024;  ///< vectors kept per side before a thick restart
  std::uint64_t seed = 0;  ///< of the starting block
};

/// Leading singular triplets A v = σ u, uᵀA = σ vᵀ.
struct SingularTriplets {
  std::vector<double> values;  ///< [count], descending
  Matrix left;                 ///< [count, rows] unit rows
  Matrix right;                ///< [count, cols] unit rows
  /// max(‖A v − σ u‖, ‖Aᵀ u − σ v‖) / σ1 of each, measured with the operator itself.
  std::vector<double> residuals;
  /// Bound on the angles of the leading vectors to the exact ones, degrees (Wedin 1972):
  /// sin θ ≤ √(‖A v − σ u‖² + ‖Aᵀ u − σ v‖²) / δ, δ = min(σ1, σ1 − σ2 − residual of the second triplet), with
  /// the operator's f32 rounding added to the residual. It presumes that no larger singular value escaped the
  /// random starting block. 90 where the gap is not resolved.
  double angle_bound_degrees = 90;
  Index passes = 0;  ///< times the whole operator was applied to a block, A and Aᵀ counted each
  /// The leading triplet reached `tolerance` and the others `others_tolerance`, as measured.
  bool converged = false;
};

/// The starting block is half the operator's likely_right_vectors, where it knows any, and otherwise random.
/// Block Golub-Kahan (Krylov) with full reorthogonalization and Rayleigh-Ritz extraction (Golub, Luk, Overton
/// 1981; thick restarts as Baglama, Reichel 2005). Cost: `passes` passes over the operator's weights and
/// O((rows + cols) · (block · passes)²) flops. Non-convergence is a value, not an error; throws
/// Error(kBadInput) where the operator gives a value that is not finite. Same bytes at any thread count.
SingularTriplets leading_singular(const LinearOperator& a, const SingularOptions& options);

/// Complete decomposition by LAPACK (dgesdd, one thread); values descending. Cost O(n³). Throws
/// Error(kBadInput) on a value that is not finite.
struct DenseSvd {
  std::vector<double> values;
  DoubleMatrix left;   ///< [min, rows] rows are vectors
  DoubleMatrix right;  ///< [min, cols]
};
DenseSvd dense_svd(const DoubleMatrix& a);

}  // namespace defectoscope
