#pragma once

#include <memory>

#include "forward/feed_forward.h"

namespace defectoscope {

/// The projections of latent attention (MLA, DeepSeek-V2): queries, keys and values by way of latents that
/// have a norm of their own.
class LatentProjections {
 public:
  LatentProjections(const ModelConfig& config, const AttentionWeights& weights, const MakeLinear& make);

  /// x [m, d] → query and key [m, heads · head_dim], value [m, heads · value_head_dim]; not yet turned. The
  /// rotary channels are each head's last, the key's the same for all heads. Memory: m · (query_latent +
  /// kv_latent + heads · head_dim) floats.
  void apply(ConstMatrixView x, MatrixView query, MatrixView key, MatrixView value) const;

 private:
  const ModelConfig& config_;
  NormWeights query_norm_, kv_norm_;
  std::unique_ptr<Linear> query_latent_, kv_latent_, key_position_, query_, key_, value_;
};

}  // namespace defectoscope
