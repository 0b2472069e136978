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
};

/// The matrix itself, [rows, cols], by applying to unit vectors in blocks. Cost: cols() vectors.
DoubleMatrix form(const LinearOperator& a);

}  // namespace defectoscope
