#include "forward/latent_attention.h"

#include "forward/elementwise.h"

namespace defectoscope {

LatentProjections::LatentProjections(const ModelConfig& config, const AttentionWeights& weights,
                                     const MakeLinear& make)
    : config_(config),
      query_norm_(weights.latent.query_norm),
      kv_norm_(weights.latent.kv_norm),
      query_latent_(make(Module::kQueryLatent, weights.latent.query)),
      kv_latent_(make(Module::kKeyValueLatent, weights.latent.kv)),
      key_position_(make(Module::kKeyPosition, weights.latent.key_position)),
      query_(make(query_latent_ ? Module::kQueryExpand : Module::kQuery, weights.query)),
      key_(make(Module::kKeyExpand, weights.key)),
      value_(make(Module::kValueExpand, weights.value)) {}

void LatentProjections::apply(ConstMatrixView x, MatrixView query, MatrixView key, MatrixView value) const {
  const Index rows = x.rows(), turned = config_.rotary_dim, plain = config_.head_dim - turned;
  if (query_latent_) {
    Matrix latent(rows, config_.query_latent);
    query_latent_->apply(x, latent);
    apply_norm(config_, query_norm_, latent, latent);
    query_->apply(latent, query);
  } else {
    query_->apply(x, query);
  }
  Matrix latent(rows, config_.kv_latent), position(rows, turned), plain_key(rows, config_.heads * plain);
  kv_latent_->apply(x, latent);
  key_position_->apply(x, position);
  apply_norm(config_, kv_norm_, latent, latent);
  key_->apply(latent, plain_key);
  value_->apply(latent, value);
  for (Index row = 0; row < rows; ++row)
    for (Index head = 0; head < config_.heads; ++head) {
      float* to = key.row(row).data() + head * config_.head_dim;
      std::copy_n(plain_key.row(row).data() + head * plain, plain, to);
      std::copy_n(position.row(row).data(), turned, to + plain);
    }
}

}  // namespace defectoscope
