#pragma once

#include <vector>

#include "model/model.h"
#include "tensor/matrix.h"

namespace defectoscope {

/// The linear part of a norm, its 1/rms left out (THEORY.md, section 1): N = scale · diag(g) · P, with
/// P = I − 11ᵀ/d for LayerNorm and I for RMSNorm. Undefined norms are the identity.
struct NormForm {
  std::vector<float> gain;  ///< [d]; empty where g = 1
  bool centred = false;
  float scale = 1;

  bool is_identity() const { return gain.empty() && !centred && scale == 1; }
  /// Rows of x in place: x := N x and x := Nᵀ x.
  void apply(MatrixView x) const;
  void apply_transpose(MatrixView x) const;
};

NormForm norm_form(const NormWeights& norm, const ModelConfig& config, bool paper_parity);

/// The norms of a layer by where they act; a role the family's placement lacks has no gain.
struct NormRoles {
  const NormWeights* attention_in;   ///< A0
  const NormWeights* attention_out;  ///< post-norm of the attention's output (sandwich, output)
  const NormWeights* ffn_in;         ///< F0
  const NormWeights* ffn_out;        ///< post-norm of the FFN's output (sandwich, output)
  const NormWeights* between;        ///< N1 of L = N2 (I + F) N1 (I + A) (post)
  const NormWeights* last;           ///< N2
};
NormRoles norms_by_role(const LayerWeights& layer, const ArchitectureSpec& architecture);

}  // namespace defectoscope
