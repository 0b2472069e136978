#include "lineage/token_sample.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "base/sha256.h"
#include "lineage/row_space.h"
#include "spectral/basis.h"

namespace defectoscope {
namespace {

constexpr double kSmallestEigenvalue = 1e-10;  // of C, relative to the largest

std::uint64_t hash_of(const std::string& text) {
  Sha256 sum;
  sum.update(text);
  return std::stoull(sum.hex_digest().substr(0, 16), nullptr, 16);
}

}  // namespace

TokenSample sample_tokens(const Tokenizer& tokenizer, Index vocab_size, Index count) {
  std::set<std::pair<std::uint64_t, TokenId>> smallest;
  const Index entries = std::min(tokenizer.size(), vocab_size);
  for (Index i = 0; i < entries; ++i) {
    const auto id = static_cast<TokenId>(i);
    if (tokenizer.is_special(id)) continue;
    const std::string text = readable_token(tokenizer, id);
    if (text.empty()) continue;
    const std::uint64_t hash = hash_of(text);
    const auto same = smallest.lower_bound({hash, 0});
    if (same != smallest.end() && same->first == hash) continue;
    smallest.emplace(hash, id);
    if (std::ssize(smallest) > count) smallest.erase(std::prev(smallest.end()));
  }
  TokenSample sample;
  for (const auto& [hash, id] : smallest) {
    sample.hashes.push_back(hash);
    sample.ids.push_back(id);
  }
  return sample;
}

TokenProjector::TokenProjector(ConstMatrixView embedded, Index removed, std::optional<double> ridge)
    : rows_(to_double(embedded)) {
  remove_column_means(rows_);
  const Index side = std::min(rows_.rows(), rows_.cols());
  const Index count = std::min(removed, side);
  if (count > 0) {
    const DoubleMatrix right = leading_right(rows_, count);
    DoubleMatrix along(rows_.rows(), right.rows());
    rows_by_rows(rows_, right, along);
    add_combination(-1.0, along, right, rows_);
  }
  if (side == 0) return;
  if (ridge) whiten(*ridge);
  const DoubleMatrix gram = gram_of_shorter_side(rows_);
  double trace = 0, squares = 0;
  for (Index i = 0; i < side; ++i) {
    trace += gram(i, i);
    for (const double value : gram.row(i)) squares += value * value;
  }
  effective_dimension_ = squares > 0 ? trace * trace / squares : 0;
}

void TokenProjector::whiten(double ridge) {
  const DoubleMatrix gram = gram_of_shorter_side(rows_);
  const SymmetricEigen all = lapack_top_symmetric(gram, gram.rows());
  double trace = 0;
  Index rank = 0;
  for (const double value : all.values) {
    if (value <= kSmallestEigenvalue * all.values[0]) break;
    trace += value;
    ++rank;
  }
  if (rank == 0) return;
  const double lambda = ridge * trace / static_cast<double>(rank);
  const DoubleMatrix vectors(ConstDoubleView(all.vectors).block_rows(0, rank));
  DoubleMatrix scaled = vectors;
  for (Index i = 0; i < rank; ++i)
    for (double& x : scaled.row(i)) x /= std::sqrt(all.values[static_cast<std::size_t>(i)] + lambda);
  // V (Λ + λ)^(−½) Vᵀ stands right of Y where the eigenvectors are of YᵀY, left of it where they are of Y Yᵀ.
  DoubleMatrix root(gram.rows(), gram.rows());
  rows_by_rows(transposed(scaled), transposed(vectors), root);
  DoubleMatrix whitened(rows_.rows(), rows_.cols());
  add_combination(1.0, rows_.cols() <= rows_.rows() ? rows_ : root,
                  rows_.cols() <= rows_.rows() ? root : rows_, whitened);
  rows_ = std::move(whitened);
}

Matrix TokenProjector::signatures(ConstMatrixView u) const {
  DoubleMatrix product(u.rows(), tokens());
  rows_by_rows(to_double(u), rows_, product);
  for (Index r = 0; r < product.rows(); ++r) {
    const double length = norm(product.row(r));
    for (double& value : product.row(r)) value /= length > 0 ? length : 1;
  }
  return to_float(product);
}

}  // namespace defectoscope
