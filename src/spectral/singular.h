#pragma once

#include <cstdint>
#include <vector>

#include "spectral/linear_operator.h"

namespace defectoscope {

struct SingularOptions {
  Index count = 2;          ///< leading triplets wanted
  Index block = 8;          ///< vectors per pass
  double tolerance = 1e-5;  ///< relative residual of the leading triplet at which to stop
  Index max_passes = 60;    ///< one pass = A and Aᵀ each count one
  std::uint64_t seed = 0;   ///< of the starting block
};

/// Leading singular triplets A v = σ u, uᵀA = σ vᵀ.
struct SingularTriplets {
  std::vector<double> values;  ///< [count], descending
  Matrix left;                 ///< [count, rows] unit rows
  Matrix right;                ///< [count, cols] unit rows
  /// max(‖A v − σ u‖, ‖Aᵀ u − σ v‖) / σ1 of each, measured with the operator itself.
  std::vector<double> residuals;
  /// Bound on the angle of the leading vectors to the exact ones, degrees: from residual over gap to the next
  /// Ritz value (Wedin); 90 where the gap is not resolved.
  double angle_bound_degrees = 90;
  Index passes = 0;  ///< times the whole operator was applied to a block, A and Aᵀ counted each
  bool converged = false;
};

/// Block Golub-Kahan (Krylov) with full reorthogonalization and Rayleigh-Ritz. Cost: `passes` passes over the
/// operator's weights and O((rows + cols) · (block · passes)²) flops. Non-convergence is a value, not an
/// error.
SingularTriplets leading_singular(const LinearOperator& a, const SingularOptions& options);

/// Complete decomposition by LAPACK (dgesdd); values descending. Cost O(n³).
struct DenseSvd {
  std::vector<double> values;
  DoubleMatrix left;   ///< [min, rows] rows are vectors
  DoubleMatrix right;  ///< [min, cols]
};
DenseSvd dense_svd(const DoubleMatrix& a);

}  // namespace defectoscope
