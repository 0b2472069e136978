#pragma once

#include <complex>
#include <optional>
#include <span>
#include <vector>

#include "spectral/linear_operator.h"

namespace defectoscope {

/// residual / |λ| at or under which an eigenpair is called certified, unless the caller says otherwise.
inline constexpr double kCertifiedResidual = 1e-4;

/// An eigenpair A x = λ x of a real matrix; x = re + i·im.
struct EigenPair {
  std::complex<double> value;
  std::vector<double> re, im;  ///< LAPACK's normalization: unit 2-norm, largest component real
  double residual = 0;         ///< ‖A x − λ x‖ / ‖x‖, absolute, measured with the operator itself
  bool certified = false;      ///< the residual proves it: see nearest_eigenpair
  Index passes = 0;            ///< applications of the operator or its transpose
  /// 1 / |yᴴx| for the unit left eigenvector y: to first order λ is within condition · residual of an
  /// eigenvalue. Only where it was asked for and the left vector converged.
  std::optional<double> condition;
};

struct ArnoldiOptions {
  Index max_passes = 40;
  double tolerance = kCertifiedResidual;  ///< residual / |λ|  at or under which a pair is certified
  Index max_basis = 160;                  ///< Krylov vectors kept before a restart
  bool measure_condition = false;         ///< spend as many passes over Aᵀ on the left eigenvector
};

/// The eigenpair nearest in angle to `start` (length n) that Arnoldi's method finds from it: in the Krylov
/// space of A and start, the Ritz pair whose span{Re x, Im x} makes the smallest angle with start. Stops when
/// that pair converges; when the passes are spent first, gives the nearest of the Ritz pairs that have
/// converged, or, where none has, the nearest of all, not certified. Restarted on the nearest pair when
/// max_basis is reached. Re x · start ≥ 0.
///
/// What `certified` claims: (λ, x) is an exact eigenpair of A + E with ‖E‖₂ = residual ≤ tolerance · |λ| (or
/// at the level of the operator's f32 rounding). For a matrix far from normal λ may still be off by condition
/// · residual, and no finite number of passes excludes that another eigenvector lies nearer.
///
/// Throws Error(kBadInput) where the operator gives a value that is not finite; a zero start gives λ = 0,
/// not certified. Cost: max_passes passes, O(n · passes²) flops. Same bytes at any thread count.
EigenPair nearest_eigenpair(const LinearOperator& a, std::span<const double> start,
                            const ArnoldiOptions& options);

/// All eigenpairs by LAPACK (dgeev, one thread); residuals measured against `a`. Cost O(n³).
std::vector<EigenPair> dense_eigenpairs(const DoubleMatrix& a);

/// Acute angle of the real part of x to d, degrees: the paper's choice. 90 where either is zero.
double real_part_angle_degrees(const EigenPair& pair, std::span<const double> d);
/// Angle of d to span{Re x, Im x}, degrees: free of the phase.
double span_angle_degrees(const EigenPair& pair, std::span<const double> d);
/// Acute angle of two vectors, degrees, accurate near 0 and near 90; 90 where either is zero.
double acute_angle_degrees(std::span<const double> x, std::span<const double> y);

/// rho = dᵀA d / dᵀd and ‖A d − rho d‖ / ‖d‖. One pass.
struct RayleighQuotient {
  double value = 0;
  double residual = 0;
};
RayleighQuotient rayleigh_quotient(const LinearOperator& a, std::span<const double> d);

}  // namespace defectoscope
