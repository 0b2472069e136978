#pragma once

#include <span>

namespace defectoscope {

// How likely two unrelated directions come as close as two given ones. All results are natural logarithms of
// probabilities, which underflow otherwise.

/// Beta law: ln P(acute angle ≤ θ) of a direction to a uniformly random one in `dimension` dimensions (any
/// real number above 1), = ln I_{sin²θ}((D−1)/2, 1/2), by the continued fraction of the incomplete beta
/// function (Lentz). 0 for a dimension of 1 or less and for 90 degrees; −inf at 0 degrees. Relative error of
/// ln p under 1e-9. Source: THEORY.md, section 4.
double log_beta_tail(double angle_degrees, double dimension);

/// Where the permutation law has been held against sampled permutations; smaller p are extrapolated.
inline constexpr double kPermutationTested = 1e-4;

/// Permutation law: ln P(|Σ u_i v_π(i)| ≥ |u·v|), π a uniformly random permutation of coordinates. Two models
/// trained from independent seeds are exchangeable in their hidden dimensions, so this is the chance that
/// their directions come as close; unlike the Beta law it knows that directions are sparse, and that two
/// massive dimensions coincide with probability 1/d.
///
/// u, v of equal length n, any norm. The up to five largest entries of each that stick out of the rest
/// (square above 16 times its mean) are matched exactly, by enumeration of all partial matchings with their
/// probabilities; the sum of what remains is taken as normal, with the mean and variance of draws without
/// replacement. Within a factor of two of sampled permutations down to kPermutationTested (tested); below
/// that the normal tail extrapolates. Cost: O(n + 1546).
double log_permutation_tail(std::span<const float> u, std::span<const float> v);

/// ln P(|N(mean, variance)| ≥ t); finite for any t at a positive variance.
double log_normal_two_tails(double t, double mean, double variance);

}  // namespace defectoscope
