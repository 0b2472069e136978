#include "lineage/row_space.h"

#include <algorithm>
#include <numeric>

#include "spectral/basis.h"

namespace defectoscope {
namespace {

constexpr double kSmallestSquare = 1e-12;  // of a singular value, relative to the largest one's

}  // namespace

void remove_column_means(DoubleMatrix& x) {
  for (Index c = 0; c < x.cols(); ++c) {
    double mean = 0;
    for (Index r = 0; r < x.rows(); ++r) mean += x(r, c);
    mean /= static_cast<double>(std::max<Index>(1, x.rows()));
    for (Index r = 0; r < x.rows(); ++r) x(r, c) -= mean;
  }
}

void remove_row_means(DoubleMatrix& x) {
  for (Index r = 0; r < x.rows(); ++r) {
    const auto row = x.row(r);
    const double mean =
        std::accumulate(row.begin(), row.end(), 0.0) / static_cast<double>(std::max<Index>(1, x.cols()));
    for (double& value : row) value -= mean;
  }
}

DoubleMatrix gram_of_shorter_side(const DoubleMatrix& x) {
  const DoubleMatrix rows = x.cols() <= x.rows() ? transposed(x) : x;
  DoubleMatrix gram(rows.rows(), rows.rows());
  rows_by_rows(rows, rows, gram);
  return gram;
}

DoubleMatrix leading_right(const DoubleMatrix& x, Index count) {
  const SymmetricEigen top = lapack_top_symmetric(gram_of_shorter_side(x), count);
  Index rank = 0;
  while (rank < top.vectors.rows() && top.values[static_cast<std::size_t>(rank)] > 0 &&
         top.values[static_cast<std::size_t>(rank)] > kSmallestSquare * top.values[0])
    ++rank;
  const auto found = ConstDoubleView(top.vectors).block_rows(0, rank);
  if (x.cols() <= x.rows()) return DoubleMatrix(found);
  DoubleMatrix right(rank, x.cols());  // v = xᵀ u / σ
  add_combination(1.0, found, x, right);
  for (Index i = 0; i < rank; ++i) {
    const double length = norm(right.row(i));
    for (double& value : right.row(i)) value /= length;
  }
  return right;
}

}  // namespace defectoscope
