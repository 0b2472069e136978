#include <fmt/format.h>

#include "base/error.h"
#include "base/parallel.h"
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
  for (const Index position : positions) {
    if (position < table.rows) continue;
    throw_bad_input(
        {.what = "a sequence is longer than the model's learned positions",
         .file = model.folder().string(),
         .tensor = table.name,
         .expected = fmt::format("at most {} tokens", table.rows),
         .got = fmt::format("{} or more", position + 1),
         .hint = fmt::format("cut the text into rows or windows of at most {} tokens", table.rows)});
  }
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

Matrix Transformer::Parts::embed(const Batch& batch, const std::vector<Index>& positions) const {
  check_tokens(batch, model);
  if (position_embedding.defined()) check_positions(positions, position_embedding, model);
  Matrix states(batch.rows(), model.config().hidden_size);
  parallel_for(static_cast<Index>(batch.sequences.size()), [&](Index sequence) {
    const auto i = static_cast<std::size_t>(sequence);
    std::vector<float> learned(position_embedding.defined() ? static_cast<std::size_t>(states.cols()) : 0);
    for (std::size_t j = 0; j < batch.sequences[i].size(); ++j) {
      const Index row = batch.begin[i] + static_cast<Index>(j);
      const std::span<float> out = states.row(row);
      embedding.copy_row(batch.sequences[i][j], out);
      if (learned.empty()) continue;
      position_embedding.copy_row(positions[static_cast<std::size_t>(row)], learned);
      for (std::size_t c = 0; c < out.size(); ++c) out[c] += learned[c];
    }
  });
  return states;
}

Matrix Transformer::embed(const Batch& batch) const { return parts_->embed(batch, positions_of(batch, {})); }

}  // namespace defectoscope
