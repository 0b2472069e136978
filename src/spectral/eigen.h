#pragma once

#include <complex>
#include <span>
#include <vector>

#include "spectral/linear_operator.h"

namespace defectoscope {

/// An eigenpair A x = λ x of a real matrix; x = re + i·im.
struct EigenPair {
  std::complex<double> value;
  std::vector<double> re, im;  ///< LAPACK's normalization: unit 2-norm, largest component real
  double residual = 0;         ///< ‖A x − λ x‖ / ‖x‖, absolute
  bool certified = false;      ///< the residual proves it: see nearest_eigenpair
  Index passes = 0;            ///< applications of the operator
};

struct ArnoldiOptions {
  Index max_passes = 40;
  double tolerance = 1e-4;  ///< residual / |λ|  at or under which a pair is certified
};

/// The Ritz pair nearest in angle to `start` (length n) in the Krylov space of A and start, restarted on it
/// until the residual is under tolerance or the passes are spent.
EigenPair nearest_eigenpair(const LinearOperator& a, std::span<const double> start,
                            const ArnoldiOptions& options);

/// All eigenpairs by LAPACK (dgeev); residuals measured against `a`. Cost O(n³).
std::vector<EigenPair> dense_eigenpairs(const DoubleMatrix& a);

/// Acute angle of the real part of x to d, degrees: the paper's choice.
double real_part_angle_degrees(const EigenPair& pair, std::span<const double> d);
/// Angle of d to span{Re x, Im x}, degrees: free of the phase.
double span_angle_degrees(const EigenPair& pair, std::span<const double> d);

/// rho = dᵀA d / dᵀd and ‖A d − rho d‖ / ‖d‖.
struct RayleighQuotient {
  double value = 0;
  double residual = 0;
};
RayleighQuotient rayleigh_quotient(const LinearOperator& a, std::span<const double> d);

}  // namespace defectoscope
