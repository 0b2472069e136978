#pragma once

#include "linearize/layer_operator.h"
#include "linearize/norm_form.h"

namespace defectoscope {

/// What a linearized layer's operators are made of. Blocks are [k, d], one vector a row.
struct LinearizedLayer::Parts {
  LayerWeights weights;
  const ArchitectureSpec* architecture = nullptr;
  Index hidden_size = 0, heads = 0, kv_heads = 0, head_dim = 0;
  FfnFit fit;
  std::vector<float> alpha, beta;
  WeightMatrix sampled_f1;  ///< [ffn, d]; undefined for the closed form
  NormForm attention_in, attention_out, ffn_in, ffn_out, between, last;
  std::vector<std::unique_ptr<LinearOperator>> forms;  ///< by LinearForm

  bool gated() const { return weights.ffn.gate.weight.defined(); }
  Index ffn_size() const { return weights.ffn.up.weight.rows; }

  Matrix attention(ConstMatrixView x) const;            ///< A x
  Matrix attention_transpose(ConstMatrixView y) const;  ///< Aᵀ y
  Matrix ffn(ConstMatrixView x) const;                  ///< F x
  Matrix ffn_transpose(ConstMatrixView y) const;        ///< Fᵀ y
  /// F0ᵀ times the F1 rows of the `count` strongest neurons, [count, d].
  Matrix strongest_rows(Index count) const;
};

}  // namespace defectoscope
