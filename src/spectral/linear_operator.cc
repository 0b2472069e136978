#include "spectral/linear_operator.h"

#include <algorithm>
#include <utility>

#include "spectral/basis.h"

namespace defectoscope {
namespace {

constexpr Index kFormBlock = 32;

void narrow(const DoubleMatrix& x, MatrixView out) {
  for (Index r = 0; r < x.rows(); ++r)
    std::ranges::transform(x.row(r), out.row(r).begin(), [](double v) { return static_cast<float>(v); });
}

}  // namespace

Matrix LinearOperator::likely_right_vectors(Index) const { return {}; }

DenseOperator::DenseOperator(DoubleMatrix matrix) : matrix_(std::move(matrix)) {}

void DenseOperator::apply(ConstMatrixView x, MatrixView y) const {
  DoubleMatrix out(x.rows(), rows());
  rows_by_rows(to_double(x).view(), matrix_.view(), out.view());
  narrow(out, y);
}

void DenseOperator::apply_transpose(ConstMatrixView x, MatrixView y) const {
  DoubleMatrix out(x.rows(), cols());
  add_combination(1.0, to_double(x).view(), matrix_.view(), out.view());
  narrow(out, y);
}

DoubleMatrix form(const LinearOperator& a) {
  DoubleMatrix matrix(a.rows(), a.cols());
  for (Index first = 0; first < a.cols(); first += kFormBlock) {
    const Index count = std::min(kFormBlock, a.cols() - first);
    Matrix unit(count, a.cols()), image(count, a.rows());
    for (Index i = 0; i < count; ++i) unit(i, first + i) = 1;
    a.apply(unit, image);
    for (Index r = 0; r < a.rows(); ++r)
      for (Index i = 0; i < count; ++i) matrix(r, first + i) = static_cast<double>(image(i, r));
  }
  return matrix;
}

}  // namespace defectoscope
