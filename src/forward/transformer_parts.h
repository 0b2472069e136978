#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "forward/block.h"
#include "forward/rotary_tables.h"
#include "forward/transformer.h"

namespace defectoscope {

/// What a Transformer owns, shared by the files that implement it.
struct Transformer::Parts {
  Parts(const Model& model, const TransformerOptions& options);

  /// The layer's block, kept or built anew as the options say. Thread-safe.
  std::shared_ptr<const Block> block(Index layer_index) const;
  /// [rows, d]: scaled and projected, without positions.
  Matrix embed_tokens(const Batch& batch) const;
  /// Embeds the batch, row i standing at positions[i].
  Matrix embed(const Batch& batch, const std::vector<Index>& positions) const;
  /// Embedding and all layers, with taps; returns the final states.
  Matrix run(const Batch& batch, Observer& observer, std::span<KvCache> caches) const;
  /// Throws Error(kBadInput) where states hold NaN or infinity. layer_index −1: the embedding.
  void check_finite(Index layer_index, const Batch& batch, ConstMatrixView states) const;

  const Model& model;
  TransformerOptions options;
  WeightMatrix embedding, position_embedding, token_type_embedding;
  NormWeights embedding_norm, final_norm, head_norm;
  std::unique_ptr<Linear> project_in, project_out, head_dense;  ///< where the family has them
  std::unique_ptr<Linear> lm_head;                              ///< null where the checkpoint is a bare body
  RotaryTables rotary_tables;

 private:
  mutable std::mutex mutex_;
  mutable std::vector<std::shared_ptr<const Block>> blocks_;
};

/// Positions of a batch's rows: each sequence counts on from the tokens its cache holds, or from 0.
std::vector<Index> positions_of(const Batch& batch, std::span<KvCache> caches);

}  // namespace defectoscope
