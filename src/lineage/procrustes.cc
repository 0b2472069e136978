#include "lineage/procrustes.h"

#include <algorithm>
#include <numeric>

#include "lineage/row_space.h"
#include "spectral/basis.h"

namespace defectoscope {
namespace {

constexpr double kSmallestSigma = 1e-12;  // relative to the largest
constexpr Index kLargestPartRemoved = 4;  // a quarter

double length_of(const DoubleMatrix& x) {
  return norm(std::span(x.data(), static_cast<std::size_t>(x.rows() * x.cols())));
}

/// Points in coordinates of their own span, where that is smaller than their space.
struct SpannedPoints {
  DoubleMatrix basis;   ///< [k, d] orthonormal rows; empty: all of the space
  DoubleMatrix points;  ///< [n, k or d]
};

SpannedPoints in_their_span(DoubleMatrix x) {
  if (x.cols() < x.rows()) return {{}, std::move(x)};
  DoubleMatrix basis = leading_right(x, x.rows());
  DoubleMatrix points(x.rows(), basis.rows());
  rows_by_rows(x, basis, points);
  return {std::move(basis), std::move(points)};
}

/// Rows in coordinates of the span, as rows of the space.
DoubleMatrix in_the_space(ConstDoubleView rows, const DoubleMatrix& basis) {
  if (basis.rows() == 0) return DoubleMatrix(rows);
  DoubleMatrix out(rows.rows(), basis.cols());
  add_combination(1.0, rows, basis, out);
  return out;
}

}  // namespace

AlignedSpaces align_spaces(DoubleMatrix a, DoubleMatrix b, Index removed) {
  remove_column_means(a);
  remove_column_means(b);
  const double lengths = length_of(a) * length_of(b);
  if (lengths == 0) return {};
  const SpannedPoints x = in_their_span(std::move(a)), y = in_their_span(std::move(b));
  DoubleMatrix products(x.points.cols(), y.points.cols());
  rows_by_rows(transposed(x.points), transposed(y.points), products);
  const SmallSvd svd = lapack_svd(products);
  Index pairs = 0;
  for (const double sigma : svd.values) pairs += sigma > kSmallestSigma * svd.values.front() ? 1 : 0;
  const Index first = std::min(removed, pairs / kLargestPartRemoved);
  const auto kept = [&](const DoubleMatrix& rows, const DoubleMatrix& basis) {
    return in_the_space(ConstDoubleView(rows).block_rows(first, pairs - first), basis);
  };
  return {kept(svd.left, x.basis), kept(svd.right, y.basis),
          std::accumulate(svd.values.begin(), svd.values.end(), 0.0) / lengths};
}

}  // namespace defectoscope
