#pragma once

#include <vector>

#include "tensor/matrix.h"

namespace defectoscope {

struct ModelConfig;

/// Keys (already rotated) and values of the tokens of one sequence seen so far, f32.
/// Latent attention (MLA) keeps its keys and values expanded. Memory: layers · capacity · (kv_size +
/// value_size) · 4 bytes.
class KvCache {
 public:
  KvCache(const ModelConfig& config, Index capacity);
  /// Of the first `layers` layers alone, for passes that stop there.
  KvCache(const ModelConfig& config, Index capacity, Index layers);

  /// Tokens held.
  Index size() const { return size_; }
  Index capacity() const { return capacity_; }
  /// [capacity, kv_size] and [capacity, value_size]; rows from size() on are free to fill.
  MatrixView keys(Index layer_index) { return keys_[static_cast<std::size_t>(layer_index)].view(); }
  MatrixView values(Index layer_index) { return values_[static_cast<std::size_t>(layer_index)].view(); }
  /// Counts `tokens` more rows as held, once every layer has filled them.
  void advance(Index tokens) { size_ += tokens; }
  /// Forgets all tokens.
  void clear() { size_ = 0; }

  static Index bytes(const ModelConfig& config, Index capacity);
  static Index bytes(const ModelConfig& config, Index capacity, Index layers);

 private:
  std::vector<Matrix> keys_, values_;
  Index capacity_;
  Index size_ = 0;
};

}  // namespace defectoscope
