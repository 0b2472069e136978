#pragma once

#include "base/index.h"
#include "tensor/matrix.h"

namespace defectoscope {

/// A matrix known by what it does to a block of vectors. Blocks are [k, n]: one vector a row.
class LinearOperator {
 public:
  virtual ~LinearOperator() = default;
  virtual Index rows() const = 0;  ///< length of an output vector
  virtual Index cols() const = 0;  ///< length of an input vector
  /// y = A x for each row; x [k, cols], y [k, rows]. Deterministic at any thread count.
  virtual void apply(ConstMatrixView x, MatrixView y) const = 0;
  /// y = Aᵀ x for each row; x [k, rows], y [k, cols].
  virtual void apply_transpose(ConstMatrixView x, MatrixView y) const = 0;
  /// Up to `count` vectors [k ≤ count, cols] that the operator's structure suggests as likely leading right
  /// singular vectors, not normalized: a start for iterations, never needed. By default none.
  virtual Matrix likely_right_vectors(Index count) const;
};

/// Aᵀ of an operator that lives elsewhere.
class TransposedOperator : public LinearOperator {
 public:
  explicit TransposedOperator(const LinearOperator& a) : a_(a) {}
  Index rows() const override { return a_.cols(); }
  Index cols() const override { return a_.rows(); }
  void apply(ConstMatrixView x, MatrixView y) const override { a_.apply_transpose(x, y); }
  void apply_transpose(ConstMatrixView x, MatrixView y) const override { a_.apply(x, y); }

 private:
  const LinearOperator& a_;
};

/// An explicit matrix as an operator; products are summed in f64 and rounded once.
class DenseOperator : public LinearOperator {
 public:
  explicit DenseOperator(DoubleMatrix matrix);
  Index rows() const override { return matrix_.rows(); }
  Index cols() const override { return matrix_.cols(); }
  void apply(ConstMatrixView x, MatrixView y) const override;
  void apply_transpose(ConstMatrixView x, MatrixView y) const override;
  const DoubleMatrix& matrix() const { return matrix_; }

 private:
  DoubleMatrix matrix_;
};

/// The matrix itself, [rows, cols], by applying to unit vectors in blocks. Cost: cols() vectors.
DoubleMatrix form(const LinearOperator& a);

}  // namespace defectoscope
