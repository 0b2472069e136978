#pragma once

#include "linearize/layer_operator.h"

namespace defectoscope {

class Model;

/// Root mean square of the embedded vocabulary's entries (embedded_tokens), each row less its mean where the
/// family's norms centre. What every writer of the residual is measured by. 1 for families whose blocks end
/// in a norm (post-LN): there the norm sets the scale, and no other scale is free. Throws Error(kBadInput) on
/// an embedding that is zero or not finite. Cost: one pass over the embedding.
double embedding_rms(const Model& model);

/// What the forms of a layer are made canonical by.
struct Canonical {
  double residual_rms = 1;  ///< embedding_rms
  bool centred = false;     ///< LayerNorm: P = I − 11ᵀ/d on both sides
};
Canonical canonical_of(const Model& model);

/// L of a layer in the form that is the same for all models that differ only by what their outputs do not
/// show (THEORY.md, section 4): with ρ the embedding's rms,
///   L = P (I + F/ρ)(I + A/ρ) P,   parallel P (I + (A + F)/ρ) P,
/// so that a residual scaled by c, and 1aᵀ added to a writer of a LayerNorm model, change nothing; gains are
/// folded by the layer's own covariance diag(g²). Post-LN and output-norm families: the layer's own L, whose
/// norms fix the scale. Borrows from the layer.
class CanonicalLayer : public LinearOperator {
 public:
  CanonicalLayer(const LinearizedLayer& layer, const Canonical& canonical);
  Index rows() const override { return layer_.form(LinearForm::kLayer).rows(); }
  Index cols() const override { return rows(); }
  void apply(ConstMatrixView x, MatrixView y) const override;
  void apply_transpose(ConstMatrixView x, MatrixView y) const override;
  Matrix likely_right_vectors(Index count) const override;

 private:
  void apply(bool transposed, ConstMatrixView x, MatrixView y) const;
  const LinearizedLayer& layer_;
  Canonical canonical_;
};

/// R = L − P of a canonical layer (P = I but for LayerNorm). Borrows from it.
class CanonicalResidual : public LinearOperator {
 public:
  CanonicalResidual(const CanonicalLayer& layer, const Canonical& canonical)
      : layer_(layer), centred_(canonical.centred) {}
  Index rows() const override { return layer_.rows(); }
  Index cols() const override { return layer_.cols(); }
  void apply(ConstMatrixView x, MatrixView y) const override;
  void apply_transpose(ConstMatrixView x, MatrixView y) const override;

 private:
  void subtract(ConstMatrixView x, MatrixView y) const;
  const CanonicalLayer& layer_;
  bool centred_;
};

/// P F P: the scale of the residual does not turn its singular vectors. Borrows from the layer.
class CanonicalFfn : public LinearOperator {
 public:
  CanonicalFfn(const LinearizedLayer& layer, const Canonical& canonical);
  Index rows() const override { return ffn_.rows(); }
  Index cols() const override { return ffn_.cols(); }
  void apply(ConstMatrixView x, MatrixView y) const override;
  void apply_transpose(ConstMatrixView x, MatrixView y) const override;
  Matrix likely_right_vectors(Index count) const override { return ffn_.likely_right_vectors(count); }

 private:
  const LinearOperator& ffn_;
  bool centred_;
};

}  // namespace defectoscope
