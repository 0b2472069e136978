#pragma once

#include <memory>
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
};

/// A layer with its fit; hands out operators that borrow from it. A pass of kLayer reads the value, output,
/// gate, up and down matrices once each (with sampled F1: F1 in place of gate and up).
///
/// Pre-norm: A = W_O Rep(W_V) A0, F = W_2 F1 F0, L = (I + F)(I + A), parallel L = I + A + F. Sandwich:
/// post-norm gains on the left of A and F. Output norms (OLMo-2): A0 = F0 = I, A := diag(g) A √d / (rms
/// ‖A‖_F), F alike; the two norms cost d vectors at construction. Post (BERT): L = N2 (I + F) N1 (I + A).
class LinearizedLayer {
 public:
  /// Cost: one pass over the matrices for the fit. Throws Error(kBadInput), naming the tensor, on weights
  /// that are not finite.
  LinearizedLayer(LayerWeights weights, const ModelConfig& config, const LinearizeOptions& options);
  ~LinearizedLayer();
  LinearizedLayer(const LinearizedLayer&) = delete;
  LinearizedLayer& operator=(const LinearizedLayer&) = delete;

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
