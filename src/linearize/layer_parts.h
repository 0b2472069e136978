#pragma once

#include "linearize/layer_operator.h"
#include "linearize/norm_form.h"

namespace defectoscope {

/// One FFN of a layer with its fit: the dense one, an expert, or the shared one.
struct FfnPart {
  FfnWeights weights;
  double weight = 1;  ///< what its output counts in F
  FfnFit fit;
  std::vector<float> alpha, beta;  ///< the fit's, times weight
  WeightMatrix sampled_f1;         ///< [ffn, d], times weight; undefined for the closed form

  bool gated() const { return weights.gate.weight.defined(); }
  Index ffn_size() const { return weights.up.weight.rows; }
  const WeightMatrix& first() const { return (gated() ? weights.gate : weights.up).weight; }
};

/// What a linearized layer's operators are made of. Blocks are [k, d], one vector a row.
struct LinearizedLayer::Parts {
  LayerWeights weights;
  const ArchitectureSpec* architecture = nullptr;
  Index hidden_size = 0, heads = 0, kv_heads = 0, value_dim = 0;
  FfnFit fit;                      ///< of all parts, see LinearizedLayer::fit
  std::vector<FfnPart> ffns;       ///< one in a dense layer
  std::vector<float> head_shares;  ///< [heads]: attention on the token itself beside a sink; empty: 1
  NormForm latent;                 ///< of MLA's key-value latent, scaled to the latent's size on average
  NormForm attention_in, attention_out, ffn_in, ffn_out, between, last;
  std::vector<std::unique_ptr<LinearOperator>> forms;  ///< by LinearForm

  Matrix attention(ConstMatrixView x) const;            ///< A x
  Matrix attention_transpose(ConstMatrixView y) const;  ///< Aᵀ y
  Matrix ffn(ConstMatrixView x) const;                  ///< F x
  Matrix ffn_transpose(ConstMatrixView y) const;        ///< Fᵀ y
  /// F0ᵀ times the F1 rows of the `count` strongest neurons of all parts, [count, d].
  Matrix strongest_rows(Index count) const;
};

}  // namespace defectoscope
