#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/model.h"

namespace defectoscope {

/// Which inputs the fit F1 sees (THEORY.md, "F1 in closed form").
enum class InputCovariance {
  kIdentity,  ///< Σ = I, the paper's choice
  kGain       ///< what the FFN really sees after its norm: diag(g²), or GPG and shift for LayerNorm
};

/// E[σ(a)], E[σ'(a)], E[σ''(a)], E[σ'''(a)], E[σ(a)²] … for a ~ N(mean, variance).
struct ActivationMoments {
  double e0 = 0;                                 ///< E[σ]
  double e1 = 0;                                 ///< E[σ']
  double e2 = 0;                                 ///< E[σ'']
  double e3 = 0;                                 ///< E[σ''']
  double square0 = 0, square1 = 0, square2 = 0;  ///< E[σ² (a−μ)^k], k = 0, 1, 2
};
/// Relative error at most 1e-10 (closed form for GELU(erf), ReLU, ReLU²; trapezoid for the others).
ActivationMoments activation_moments(Activation activation, double mean, double variance);

/// The least-squares linear fit of an FFN's hidden layer and its next order, per neuron j.
struct FfnFit {
  std::vector<double> alpha, beta;  ///< F1 row = alpha·w1 + beta·w3 (plain: beta empty, w1 the up rows)
  std::vector<double> mean;         ///< intercept of the fit: E[f]
  std::vector<double> p, q;         ///< H = p·w1w1ᵀ + q·(w1w3ᵀ + w3w1ᵀ)
  /// Share of the activation stage's variance that the linear and the quadratic term explain, summed over
  /// neurons, and weighted by ‖w2_j‖² (what leaves the FFN).
  double linear_share = 0, quadratic_share = 0;
  double linear_share_weighted = 0, quadratic_share_weighted = 0;
};

/// Closed form (Stein's lemma), one pass over gate and up. Throws Error(kBadInput) on non-finite weights,
/// naming the tensor.
FfnFit fit_ffn(const LayerWeights& layer, const ModelConfig& config, InputCovariance covariance);

/// The paper's way: least squares on `samples` draws x ~ N(0, Σ), for comparison. O(samples · d · ffn); meant
/// for small models. Returns F1 [ffn, d] itself and the intercepts.
struct SampledFit {
  DoubleMatrix f1;
  std::vector<double> mean;
};
SampledFit sample_ffn(const LayerWeights& layer, const ModelConfig& config, InputCovariance covariance,
                      Index samples, std::uint64_t seed);

}  // namespace defectoscope
