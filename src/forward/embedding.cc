#include <fmt/format.h>

#include "base/error.h"
#include "base/parallel.h"
#include "forward/elementwise.h"
#include "forward/kv_cache.h"
#include "forward/transformer_parts.h"

namespace defectoscope {
namespace {

void check_tokens(const Batch& batch, const Model& model) {
  const Index vocab = model.config().vocab_size;
  for (std::size_t i = 0; i < batch.sequences.size(); ++i) {
    const TokenIds& sequence = batch.sequences[i];
    if (sequence.empty())
      throw_bad_input(
          {.what = fmt::format("sequence {} has no tokens", i + 1), .expected = "one token or more"});
    for (std::size_t j = 0; j < sequence.size(); ++j) {
      if (sequence[j] >= 0 && sequence[j] < vocab) continue;
      throw_bad_input({.what = fmt::format("token {} of sequence {} is not in the vocabulary", j + 1, i + 1),
                       .file = model.folder().string(),
                       .expected = fmt::format("an id from 0 to {}", vocab - 1),
                       .got = std::to_string(sequence[j]),
                       .hint = "use the tokenizer that came with this model"});
    }
  }
}

void check_positions(const std::vector<Index>& positions, const WeightMatrix& table, const Model& model) {
  const Index most = table.rows - model.config().architecture->position_offset;
  for (const Index position : positions) {
    if (position < most) continue;
    throw_bad_input({.what = "a sequence is longer than the model's learned positions",
                     .file = model.folder().string(),
                     .tensor = table.name,
                     .expected = fmt::format("at most {} tokens", most),
                     .got = fmt::format("{} or more", position + 1),
                     .hint = fmt::format("cut the text into rows or windows of at most {} tokens", most)});
  }
}

void add_row(const WeightMatrix& table, Index row, std::span<float> to) {
  std::vector<float> values(to.size());
  table.copy_row(row, values);
  for (std::size_t i = 0; i < to.size(); ++i) to[i] += values[i];
}

}  // namespace

std::vector<Index> positions_of(const Batch& batch, std::span<KvCache> caches) {
  std::vector<Index> positions;
  positions.reserve(static_cast<std::size_t>(batch.rows()));
  for (std::size_t i = 0; i < batch.sequences.size(); ++i) {
    const Index first = caches.empty() ? 0 : caches[i].size();
    const auto count = static_cast<Index>(batch.sequences[i].size());
    for (Index j = 0; j < count; ++j) positions.push_back(first + j);
  }
  return positions;
}

Matrix Transformer::Parts::embed_tokens(const Batch& batch) const {
  Matrix tokens(batch.rows(), embedding.cols);
  parallel_for(static_cast<Index>(batch.sequences.size()), [&](Index sequence) {
    const auto i = static_cast<std::size_t>(sequence);
    for (std::size_t j = 0; j < batch.sequences[i].size(); ++j)
      embedding.copy_row(batch.sequences[i][j], tokens.row(batch.begin[i] + static_cast<Index>(j)));
  });
  scale(tokens, model.config().embedding_scale);
  if (!project_in) return tokens;
  Matrix states(batch.rows(), model.config().hidden_size);
  project_in->apply(tokens, states);
  return states;
}

Matrix Transformer::Parts::embed(const Batch& batch, const std::vector<Index>& positions) const {
  check_tokens(batch, model);
  if (position_embedding.defined()) check_positions(positions, position_embedding, model);
  Matrix states = embed_tokens(batch);
  if (position_embedding.defined())
    for (std::size_t i = 0; i < positions.size(); ++i)
      add_row(position_embedding, positions[i] + model.config().architecture->position_offset,
              states.row(static_cast<Index>(i)));
  if (token_type_embedding.defined())
    for (Index row = 0; row < states.rows(); ++row) add_row(token_type_embedding, 0, states.row(row));
  if (embedding_norm.defined()) apply_norm(model.config(), embedding_norm, states, states);
  return states;
}

Matrix Transformer::embed(const Batch& batch) const { return parts_->embed(batch, positions_of(batch, {})); }

}  // namespace defectoscope
