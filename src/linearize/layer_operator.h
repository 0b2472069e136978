#pragma once

#include <memory>
#include <optional>
#include <span>

#include "linearize/ffn_fit.h"
#include "model/model.h"
#include "spectral/linear_operator.h"

namespace defectoscope {

/// The linear forms of one layer (THEORY.md, section 1), matrix-free; each [d, d].
enum class LinearForm { kAttention, kFfn, kLayer, kResidual };  // A, F, L, R = L − I

struct LinearizeOptions {
  bool paper_parity = false;  ///< no centring, no biases, no intercept, Σ = I, no normalized post-norms
  InputCovariance covariance = InputCovariance::kGain;
  Index samples = 0;  ///< > 0: sampled F1 instead of closed form
  std::uint64_t seed = 0;
  /// Of the residual stream at the layer's input; only families without pre-norms (OLMo-2) see it.
  double residual_rms = 1;
  /// Layers with experts: F of this expert alone. Empty: the mean over experts by `expert_weights`, or where
  /// that is empty too by expert_shares().
  std::optional<Index> expert = {};
  std::vector<double> expert_weights = {};  ///< [experts]
};

/// A layer with its fit; hands out operators that borrow from it. A pass of kLayer reads the value, output,
/// gate, up and down matrices once each (with sampled F1: F1 in place of gate and up).
///
/// Pre-norm: A = W_O Rep(W_V) A0, F = W_2 F1 F0, L = (I + F)(I + A), parallel L = I + A + F. Sandwich:
/// post-norm gains on the left of A and F. Output norms (OLMo-2): A0 = F0 = I, A := diag(g) A √d / (rms
/// ‖A‖_F), F alike; the two norms cost d vectors at construction. Post (BERT): L = N2 (I + F) N1 (I + A).
///
/// Experts: F = Σ_e w_e F_e + w_s F_s, one fit an expert; a pass reads all of them. Latent attention (MLA):
/// A = W_O W_V N W_DKV A0, W_DKV to the latent and N its norm, diag(g) √latent / ‖W_DKV A0‖_F: unlike the
/// outer norms' its 1/rms is kept, at the mean square it has on normed inputs, because W_DKV's scale is free.
/// Under paper_parity it is dropped as those are. Sinks: head h of A counts E[1 / (1 + exp(sink_h − score))].
class LinearizedLayer {
 public:
  /// Cost: one pass over the matrices for the fit. Throws Error(kBadInput), naming the tensor, on weights
  /// that are not finite.
  LinearizedLayer(LayerWeights weights, const ModelConfig& config, const LinearizeOptions& options);
  ~LinearizedLayer();
  LinearizedLayer(const LinearizedLayer&) = delete;
  LinearizedLayer& operator=(const LinearizedLayer&) = delete;

  /// Of layers with experts: their neurons one after the other (a chosen expert's alone), `strength` and
  /// shares weighted as in F.
  const FfnFit& fit() const;
  const LayerWeights& weights() const;
  /// Valid while the layer lives.
  const LinearOperator& form(LinearForm form) const;

  struct Parts;
  const Parts& parts() const { return *parts_; }

 private:
  std::unique_ptr<Parts> parts_;
};

}  // namespace defectoscope
