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
/// Relative error at most 1e-10 (closed form for GELU(erf), ReLU, ReLU²; trapezoid for the others and for
/// squares). Derivatives are those of distributions: ReLU's σ'' is a point mass, E[σ''] the density at 0.
/// Without variance they are the values at the mean, point masses left out.
ActivationMoments activation_moments(Activation activation, double mean, double variance);

/// The least-squares linear fit of an FFN's hidden layer and its next order, per neuron j.
struct FfnFit {
  std::vector<double> alpha, beta;  ///< F1 row = alpha·w1 + beta·w3 (plain: beta empty, w1 the up rows)
  std::vector<double> mean;         ///< intercept of the fit: E[f]
  /// ‖w2_j‖ times the standard deviation of the linear term: how much of the FFN goes through neuron j.
  std::vector<double> strength;
  std::vector<double> p, q;  ///< H = p·w1w1ᵀ + q·(w1w3ᵀ + w3w1ᵀ); plain: q empty
  /// Share of the activation stage's variance that the linear and the quadratic term explain, summed over
  /// neurons, and weighted by ‖w2_j‖² (what leaves the FFN).
  double linear_share = 0, quadratic_share = 0;
  double linear_share_weighted = 0, quadratic_share_weighted = 0;
  double variance = 0, variance_weighted = 0;  ///< what the shares are of
};

/// The distribution an FFN's matrices see: x = rms · g ∘ (P z) + shift, z ~ N(0, I), P = I − 11ᵀ/d or I.
struct FfnInput {
  std::vector<double> gain;   ///< [d]; empty where g = 1
  std::vector<double> shift;  ///< [d]; empty where there is none; it acts through the biases
  bool centred = false;       ///< P = I − 11ᵀ/d (LayerNorm)
  double rms = 1;
};
/// By the family's norm placement: the FFN's own norm (pre, sandwich), the shared one (parallel-shared), the
/// attention's (post), or none and `residual_rms` (output). kIdentity: Σ = I, or residual_rms² · I.
FfnInput ffn_input(const LayerWeights& layer, const ModelConfig& config, InputCovariance covariance,
                   double residual_rms = 1);
/// The distribution behind one norm, whichever it is.
FfnInput input_of(const NormWeights& norm, const ModelConfig& config, InputCovariance covariance);

/// Fits layer.ffn. Clamped gates (gpt-oss) count with their clamp, within 1e-5; the clamp of up is left out,
/// it acts on values of seven and more.
///
/// Closed form (Stein's lemma), one pass over gate, up and down (two over gate and up where the norm has a
/// shift). Throws Error(kBadInput) on non-finite weights, naming the tensor.
FfnFit fit_ffn(const LayerWeights& layer, const ModelConfig& config, InputCovariance covariance);
FfnFit fit_ffn(const LayerWeights& layer, const ModelConfig& config, const FfnInput& input);

/// The paper's way: least squares on `samples` draws x ~ N(0, Σ), for comparison. O(samples · d · (ffn + d));
/// meant for small models; memory O(d · (ffn + d)), the samples stream. Returns F1 [ffn, d] itself and the
/// intercepts (zero without `intercept`, as the authors fit). Where Σ is singular, F1 is the solution of
/// least norm behind the norm's gain. Throws Error(kBadInput) where there are fewer samples than unknowns.
struct SampledFit {
  DoubleMatrix f1;
  std::vector<double> mean;
};
SampledFit sample_ffn(const LayerWeights& layer, const ModelConfig& config, InputCovariance covariance,
                      Index samples, std::uint64_t seed);
SampledFit sample_ffn(const LayerWeights& layer, const ModelConfig& config, const FfnInput& input,
                      Index samples, std::uint64_t seed, bool intercept);

}  // namespace defectoscope
