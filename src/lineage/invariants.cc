#include "lineage/invariants.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/pointwise.h"
#include "spectral/basis.h"

namespace defectoscope {
namespace {

constexpr double kSmallestValue = 1e-30;

void append_without_mean(std::vector<float>& out, const std::vector<double>& values) {
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) /
                      static_cast<double>(std::max<std::size_t>(1, values.size()));
  for (const double x : values) out.push_back(static_cast<float>(x - mean));
}

}  // namespace

std::vector<float> gram_signature(const Signature& signature) {
  const Index layers = signature.left.rows();
  DoubleMatrix directions(2 * layers, signature.left.cols());
  for (Index i = 0; i < layers; ++i) {
    std::ranges::copy(signature.left.row(i), directions.row(i).begin());
    std::ranges::copy(signature.ffn_left.row(i), directions.row(layers + i).begin());
  }
  DoubleMatrix products(2 * layers, 2 * layers);
  rows_by_rows(directions, directions, products);
  std::vector<double> cosines;
  for (Index i = 0; i < 2 * layers; ++i)
    for (Index k = 0; k < i; ++k) cosines.push_back(std::abs(products(i, k)));
  std::vector<float> out;
  append_without_mean(out, cosines);
  return out;
}

std::vector<float> spectrum_signature(const Signature& signature, bool with_eigenvalues) {
  std::vector<float> out;
  std::vector<double> column(static_cast<std::size_t>(signature.layers));
  for (const Matrix* values : {&signature.singular_values, &signature.ffn_singular_values})
    for (Index c = 0; c < values->cols(); ++c) {
      for (std::size_t i = 0; i < column.size(); ++i)
        column[i] =
            std::log(std::max(kSmallestValue, static_cast<double>((*values)(static_cast<Index>(i), c))));
      append_without_mean(out, column);
    }
  if (!with_eigenvalues) return out;
  for (std::size_t i = 0; i < column.size(); ++i)
    column[i] = std::asinh(static_cast<double>(signature.decay_eigenvalues(static_cast<Index>(i), 0)));
  append_without_mean(out, column);
  return out;
}

double correlation(const std::vector<float>& x, const std::vector<float>& y) {
  const double lengths = norm(x) * norm(y);
  return lengths > 0 ? dot(x, y) / lengths : 0;
}

}  // namespace defectoscope
