#include "lineage/embedding_alignment.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "lineage/embedded_tokens.h"
#include "lineage/row_space.h"
#include "lineage/shared_tokens.h"
#include "model/model.h"
#include "spectral/basis.h"

namespace defectoscope {
namespace {

EmbeddingAlignment not_aligned(std::string reason) {
  EmbeddingAlignment alignment;
  alignment.not_aligned = std::move(reason);
  return alignment;
}

DoubleMatrix points_of(const EmbeddedVocabulary& vocabulary, const std::vector<Index>& chosen) {
  std::vector<TokenId> ids;
  for (const Index i : chosen) ids.push_back(vocabulary.sample.ids[static_cast<std::size_t>(i)]);
  const Model& model = *vocabulary.model;
  DoubleMatrix points = to_double(embedded_tokens(model, ids));
  for (Index r = 0; r < points.rows(); ++r)
    if (!std::ranges::all_of(points.row(r), [](double x) { return std::isfinite(x); }))
      throw_bad_input({.what = "a weight is not finite",
                       .file = model.folder().string(),
                       .tensor = model.embedding().name,
                       .expected = "finite numbers",
                       .got = fmt::format("NaN or infinity in row {}", ids[static_cast<std::size_t>(r)]),
                       .hint = "the checkpoint is damaged: fetch it again"});
  if (model.config().architecture->norm == NormKind::kLayerNorm) remove_row_means(points);
  return points;
}

bool all_rows_alike(const DoubleMatrix& points) {
  for (Index r = 1; r < points.rows(); ++r)
    if (!std::ranges::equal(points.row(r), points.row(0))) return false;
  return true;
}

}  // namespace

EmbeddedVocabulary embedded_vocabulary(const Model& model, const Tokenizer* tokenizer) {
  EmbeddedVocabulary vocabulary{model.name(), &model, {}};
  if (tokenizer != nullptr)
    vocabulary.sample = sample_tokens(*tokenizer, model.config().vocab_size, kAlignedTokens);
  return vocabulary;
}

EmbeddingAlignment align_embeddings(const EmbeddedVocabulary& a, const EmbeddedVocabulary& b,
                                    Index most_tokens) {
  for (const EmbeddedVocabulary* side : {&a, &b}) {
    if (side->model == nullptr)
      return not_aligned(
          fmt::format("a signature file ({}) holds no embedding: give both models", side->name));
    if (side->sample.ids.empty()) return not_aligned(fmt::format("no vocabulary of {}", side->name));
  }
  SharedHashes shared(a.sample.hashes, b.sample.hashes);
  if (shared.size() < kLeastSharedTokens)
    return not_aligned(
        fmt::format("different vocabularies: {} shared tokens among {} and {} sampled, {} needed",
                    shared.size(), a.sample.ids.size(), b.sample.ids.size(), kLeastSharedTokens));
  if (most_tokens == 0) {
    const Index width = std::max(a.model->config().hidden_size, b.model->config().hidden_size);
    most_tokens = width > kAlignedWidth ? kAlignedWidth : kAlignedTokens;
  }
  EmbeddingAlignment alignment;
  alignment.tokens = std::min(shared.size(), most_tokens);
  shared.a.resize(static_cast<std::size_t>(alignment.tokens));
  shared.b.resize(static_cast<std::size_t>(alignment.tokens));
  DoubleMatrix of_a = points_of(a, shared.a), of_b = points_of(b, shared.b);
  for (const auto& [points, name] : {std::pair(&of_a, &a.name), std::pair(&of_b, &b.name)})
    if (all_rows_alike(*points))
      return not_aligned(fmt::format("the embedding of {} is the same for all shared tokens", *name));
  alignment.spaces = align_spaces(std::move(of_a), std::move(of_b), kAlignedWithout);
  if (alignment.spaces.dimension() < kLeastAlignedDimension)
    return not_aligned(fmt::format("the shared tokens' embeddings have {} directions in common, {} needed",
                                   alignment.spaces.dimension(), kLeastAlignedDimension));
  return alignment;
}

}  // namespace defectoscope
