#pragma once

#include <cstdint>
#include <vector>

#include "base/index.h"

namespace defectoscope {

/// Upper tail of a distribution as peaks over a threshold (Pickands 1975): P(X > threshold + y) =
/// share · (1 + shape · y / scale)^(−1/shape), with shape 0 share · exp(−y / scale).
struct TailFit {
  double threshold = 0;
  double share = 0;  ///< P(X > threshold)
  double shape = 0;  ///< at least 0: a tail with an end would call what lies beyond it impossible
  double scale = 0;

  /// ln P(X > x); ln share at and below the threshold.
  double log_tail(double x) const;
};

/// Generalized Pareto fit to the largest `share` of the sample by probability-weighted moments (Hosking and
/// Wallis 1987); a negative shape becomes 0, and the scale the mean excess (which only makes the tail
/// heavier). Needs 5 exceedances; with fewer the scale is 0 and log_tail beyond the threshold says ln share.
TailFit fit_tail(std::vector<double> sample, double share);

/// Anderson and Darling's A² of the exceedances of `sample` against the fit, and how often a sample drawn
/// from the fit and fitted anew gives as much (parametric bootstrap, `draws` of them, deterministic in
/// `seed`): small means that the fit does not describe the tail.
struct TailGoodness {
  Index exceedances = 0;
  double anderson_darling = 0;
  double p = 1;
};
TailGoodness tail_goodness(const std::vector<double>& sample, const TailFit& fit, Index draws,
                           std::uint64_t seed);

}  // namespace defectoscope
