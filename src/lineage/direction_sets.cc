#include "lineage/direction_sets.h"

#include "lineage/embedding_alignment.h"
#include "lineage/shared_tokens.h"
#include "spectral/basis.h"

namespace defectoscope {
namespace {

/// u by the rows of an aligned space.
Matrix in_aligned_space(const Matrix& directions, const DoubleMatrix& space) {
  DoubleMatrix out(directions.rows(), space.rows());
  rows_by_rows(to_double(directions), space, out);
  return to_float(out);
}

}  // namespace

DirectionSets::DirectionSets(const Signature& a, const Signature& b, const EmbeddingAlignment* alignment) {
  if (a.hidden_size == b.hidden_size) {
    // Right for LayerNorm, whose directions have no mean, and a little cautious for the others.
    const auto dimension = static_cast<double>(a.hidden_size - 1);
    layers = DirectionSet{a.left, b.left, dimension};
    ffns = DirectionSet{a.ffn_left, b.ffn_left, dimension};
  }
  const SharedTokens shared(a, b);
  shared_tokens = shared.size();
  if (shared_tokens >= kLeastSharedTokens) {
    const auto over_tokens = [&](Matrix Signature::* of) {
      return DirectionSet{shared_columns(a.*of, shared.a), shared_columns(b.*of, shared.b), shared.dimension};
    };
    tokens = over_tokens(&Signature::token_left);
    ffn_tokens = over_tokens(&Signature::token_ffn_left);
  }
  if (alignment != nullptr && alignment->not_aligned.empty()) {
    const AlignedSpaces& spaces = alignment->spaces;
    const auto turned = [&](Matrix Signature::* of) {
      return DirectionSet{in_aligned_space(a.*of, spaces.a), in_aligned_space(b.*of, spaces.b),
                          static_cast<double>(spaces.dimension())};
    };
    aligned = turned(&Signature::left);
    aligned_ffns = turned(&Signature::ffn_left);
  }
}

std::vector<const DirectionSet*> DirectionSets::present() const {
  std::vector<const DirectionSet*> sets;
  for (const auto* set : {&layers, &ffns, &tokens, &ffn_tokens, &aligned, &aligned_ffns})
    if (*set) sets.push_back(&**set);
  return sets;
}

}  // namespace defectoscope
