#pragma once

#include <span>
#include <vector>

#include "linearize/norm_form.h"
#include "model/model.h"
#include "tensor/matrix.h"

namespace defectoscope {

/// Radius of the sphere on which inputs of a layer's FFN are compared: 1 behind a norm, as in the paper (its
/// eps then matters), √d where the FFN sees the stream as it is. Layers with experts have one too.
double ffn_radius(const LayerWeights& layer, const ModelConfig& config);

/// The real FFN of one layer, its norms included and its residual not, with the exact gradient of the size of
/// its output: FFN(x) = N_out(W2 (σ(W1 y + b1) ∘ (W3 y + b3)) + b2), y = N_in(x); plain: W2 σ(W3 y + b3) +
/// b2. Post-norm families: N_in is the norm between attention and FFN; families without a norm before the FFN
/// (OLMo-2): y = x.
class RealFfn {
 public:
  /// `layer` and `config` are borrowed. Throws Error(kBadInput) where the layer has experts.
  RealFfn(const LayerWeights& layer, const ModelConfig& config);

  Index hidden_size() const;
  double radius() const { return ffn_radius(layer_, config_); }

  /// FFN(x) of each row; x, y [k, d]. One pass over gate, up and down for each 8 rows.
  void apply(ConstMatrixView x, MatrixView y) const;
  /// ‖FFN(x)‖ of each row of x [k, d] and its gradient with respect to x [k, d]; zero where the output is.
  /// Two passes. Norms and activations in f64, matrices in f32 sums.
  std::vector<double> norm_gradient(ConstMatrixView x, MatrixView gradient) const;

 private:
  struct Forward;
  Forward forward(ConstMatrixView x) const;

  const LayerWeights& layer_;
  const ModelConfig& config_;
  NormRoles norms_;
  const NormWeights& in_;
};

}  // namespace defectoscope
