#pragma once

#include <span>
#include <vector>

#include "linearize/layer_operator.h"
#include "spectral/singular.h"

namespace defectoscope {

/// The quadratic amplifier of an FFN towards an output direction u (THEORY.md, "The next order"; compare Sun,
/// Canziani, LeCun, Zhu 2026): u · FFN(x) ≈ mean + linear + ½ (xᵀ S_u x − tr), symmetric [d, d], never
/// formed:
///   S_u x = F0ᵀ [W1ᵀ(P∘(W1 y)) + W1ᵀ(Q∘(W3 y)) + W3ᵀ(Q∘(W1 y))],  y = F0 x,
/// with P_j = (u·w2_j) p_j, Q_j = (u·w2_j) q_j (plain FFNs: Q = 0). A pass reads gate and up twice each.
/// Borrows from the layer.
class QuadraticForm : public LinearOperator {
 public:
  /// u has d values; it need not be a unit vector. One pass over down.
  QuadraticForm(const LinearizedLayer& layer, std::span<const double> u);
  Index rows() const override;
  Index cols() const override { return rows(); }
  void apply(ConstMatrixView x, MatrixView y) const override;
  void apply_transpose(ConstMatrixView x, MatrixView y) const override { apply(x, y); }

 private:
  const LinearizedLayer& layer_;
  struct Weights {
    std::vector<float> p, q;
  };
  void add_part(std::size_t part, ConstMatrixView in, MatrixView out) const;
  std::vector<Weights> weights_;  ///< of each of the layer's FFNs
};

/// An eigenpair S x = value · x of a symmetric operator; both x and −x amplify alike in this order, and the
/// real FFN tells them apart.
struct SymmetricPair {
  double value = 0;
  std::vector<double> x;  ///< unit, its largest entry positive
  double residual = 0;    ///< ‖S x − value x‖ / |largest value|
};

/// The `count` eigenpairs of largest |value|, that order, of a symmetric operator: leading singular vectors,
/// turned within their span so that values of equal size and opposite sign come apart. At most
/// options.max_passes + 1 passes.
struct SymmetricPairs {
  std::vector<SymmetricPair> pairs;
  Index passes = 0;
  bool converged = false;  ///< as leading_singular, by the residuals above
};
SymmetricPairs leading_symmetric(const LinearOperator& s, const SingularOptions& options);

}  // namespace defectoscope
