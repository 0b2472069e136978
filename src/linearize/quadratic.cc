#include "linearize/quadratic.h"

#include <algorithm>
#include <cmath>

#include "kernels/block_apply.h"
#include "linearize/layer_parts.h"
#include "spectral/basis.h"

namespace defectoscope {
namespace {

/// x[r, j] *= w[j]
void scale_columns(Matrix& x, const std::vector<float>& w) {
  for (Index r = 0; r < x.rows(); ++r) {
    const std::span<float> row = x.row(r);
    for (std::size_t j = 0; j < w.size(); ++j) row[j] *= w[j];
  }
}

void add_values(MatrixView x, const Matrix& y) {
  for (Index i = 0; i < x.rows() * x.cols(); ++i) x.data()[i] += y.data()[i];
}

}  // namespace

QuadraticForm::QuadraticForm(const LinearizedLayer& layer, std::span<const double> u) : layer_(layer) {
  const LinearizedLayer::Parts& parts = layer.parts();
  Matrix direction(1, parts.hidden_size);
  std::ranges::transform(u, direction.data(), [](double value) { return static_cast<float>(value); });
  parts.ffn_out.apply_transpose(direction);
  for (const FfnPart& part : parts.ffns) {
    Matrix along(1, part.ffn_size());
    block_apply_transpose(part.weights.down.weight, direction, along);
    const auto weighted = [&](const std::vector<double>& values) {
      std::vector<float> out(values.size());
      for (std::size_t j = 0; j < values.size(); ++j)
        out[j] = along.row(0)[j] * static_cast<float>(part.weight * values[j]);
      return out;
    };
    weights_.push_back({weighted(part.fit.p), weighted(part.fit.q)});
  }
}

Index QuadraticForm::rows() const { return layer_.parts().hidden_size; }

void QuadraticForm::apply(ConstMatrixView x, MatrixView y) const {
  const LinearizedLayer::Parts& parts = layer_.parts();
  const Index k = x.rows();
  Matrix in(k, rows()), out(k, rows());
  for (Index r = 0; r < k; ++r) std::ranges::copy(x.row(r), in.row(r).begin());
  parts.ffn_in.apply(in);
  for (std::size_t part = 0; part < parts.ffns.size(); ++part) add_part(part, in, out);
  parts.ffn_in.apply_transpose(out);
  for (Index r = 0; r < k; ++r) std::ranges::copy(out.row(r), y.row(r).begin());
}

void QuadraticForm::add_part(std::size_t index, ConstMatrixView in, MatrixView out) const {
  const FfnPart& part = layer_.parts().ffns[index];
  const auto& [p, q] = weights_[index];
  const Index k = in.rows();
  Matrix first(k, part.ffn_size()), image(k, rows());
  block_apply(part.first(), in, first);
  Matrix back = first;
  scale_columns(back, p);
  if (part.gated()) {
    const WeightMatrix& w3 = part.weights.up.weight;
    Matrix second(k, part.ffn_size());
    block_apply(w3, in, second);
    scale_columns(second, q);
    add_values(back, second);
    scale_columns(first, q);
    block_apply_transpose(w3, first, image);
    add_values(out, image);
  }
  block_apply_transpose(part.first(), back, image);
  add_values(out, image);
}

SymmetricPairs leading_symmetric(const LinearOperator& s, const SingularOptions& options) {
  // One more than wanted: a pair of opposite signs may stand at the edge.
  SingularOptions wider = options;
  wider.count = options.count + 1;
  const SingularTriplets triplets = leading_singular(s, wider);
  // A value and its negative may share a singular space: left and right vectors together span it.
  Basis basis(s.cols());
  basis.append(to_double(triplets.right.view()), 1e-6);
  basis.append(to_double(triplets.left.view()), 1e-6);
  const Index k = basis.size();
  Matrix image(k, s.rows());
  s.apply(to_float(basis.rows()), image);
  const DoubleMatrix images = to_double(image.view());
  DoubleMatrix projected(k, k);
  rows_by_rows(basis.rows(), images.view(), projected.view());
  for (Index i = 0; i < k; ++i)
    for (Index j = 0; j < i; ++j)
      projected(i, j) = projected(j, i) = 0.5 * (projected(i, j) + projected(j, i));
  const SymmetricEigen small = lapack_top_symmetric(projected, k);

  std::vector<Index> order(static_cast<std::size_t>(k));
  for (Index i = 0; i < k; ++i) order[static_cast<std::size_t>(i)] = i;
  const auto size = [&](Index i) { return std::abs(small.values[static_cast<std::size_t>(i)]); };
  std::ranges::stable_sort(order, [&](Index a, Index b) { return size(a) > size(b); });
  order.resize(static_cast<std::size_t>(std::min(k, options.count)));

  SymmetricPairs result;
  result.passes = triplets.passes + 1;
  result.converged = true;
  for (const Index i : order) {
    SymmetricPair pair{small.values[static_cast<std::size_t>(i)], {}, 0};
    const ConstDoubleView c = small.vectors.view().block_rows(i, 1);
    const DoubleMatrix x = basis.combine(c);
    DoubleMatrix rest(1, s.rows());
    add_combination(1.0, c, images.view(), rest.view());
    for (Index j = 0; j < x.cols(); ++j) rest(0, j) -= pair.value * x(0, j);
    const double top = size(order[0]);
    pair.residual = top > 0 ? norm(rest.row(0)) / top : 0;
    pair.x.assign(x.row(0).begin(), x.row(0).end());
    const auto largest = std::ranges::max_element(pair.x, {}, [](double value) { return std::abs(value); });
    if (*largest < 0)
      for (double& value : pair.x) value = -value;
    const bool first = result.pairs.empty();
    result.converged =
        result.converged && pair.residual <= (first ? options.tolerance : options.others_tolerance);
    result.pairs.push_back(std::move(pair));
  }
  return result;
}

}  // namespace defectoscope
