#include "model/fused_split.h"

#include <cstring>

namespace defectoscope {
namespace {

LinearWeights slice(const LinearWeights& fused, Index first, Index count) {
  LinearWeights part{fused.weight.slice_rows(first, count), {}};
  if (!fused.bias.empty()) part.bias.assign(fused.bias.begin() + first, fused.bias.begin() + first + count);
  return part;
}

/// `groups` runs of `run` rows, each `step` rows after the last, the first at `first`.
LinearWeights gather(const LinearWeights& fused, Index first, Index run, Index step, Index groups) {
  const WeightMatrix& all = fused.weight;
  const auto row_bytes = static_cast<std::size_t>(all.cols * dtype_size(all.dtype));
  const auto memory =
      std::make_shared<std::vector<std::byte>>(row_bytes * static_cast<std::size_t>(run * groups));
  LinearWeights part{{all.name, all.dtype, run * groups, all.cols, all.cols, memory->data(), memory}, {}};
  std::byte* out = memory->data();
  for (Index g = 0; g < groups; ++g)
    for (Index r = first + g * step; r < first + g * step + run; ++r) {
      std::memcpy(out, all.row_data(r), row_bytes);
      out += row_bytes;
      if (!fused.bias.empty()) part.bias.push_back(fused.bias[static_cast<std::size_t>(r)]);
    }
  return part;
}

}  // namespace

void split_qkv(const LinearWeights& fused, const ModelConfig& config, AttentionWeights& attention) {
  const Index head = config.head_dim;
  if (config.architecture->qkv == QkvLayout::kFusedBlocks) {
    attention.query = slice(fused, 0, config.query_size());
    attention.key = slice(fused, config.query_size(), config.kv_size());
    attention.value = slice(fused, config.query_size() + config.kv_size(), config.kv_size());
    return;
  }
  // Per key-value head: its queries, its key, its value; kFusedPerHead is the case of one query each.
  const Index queries = config.heads / config.kv_heads * head;
  const Index step = queries + 2 * head;
  attention.query = gather(fused, 0, queries, step, config.kv_heads);
  attention.key = gather(fused, queries, head, step, config.kv_heads);
  attention.value = gather(fused, queries + head, head, step, config.kv_heads);
}

void split_alternating(const LinearWeights& fused, FfnWeights& ffn) {
  const Index half = fused.weight.rows / 2;
  ffn.gate = gather(fused, 0, 1, 2, half);
  ffn.up = gather(fused, 1, 1, 2, half);
}

void split_kv_latent(const LinearWeights& fused, const ModelConfig& config, LatentWeights& latent) {
  latent.kv = slice(fused, 0, config.kv_latent);
  latent.key_position = slice(fused, config.kv_latent, config.rotary_dim);
}

void split_kv_expand(const LinearWeights& fused, const ModelConfig& config, AttentionWeights& attention) {
  const Index key = config.head_dim - config.rotary_dim, value = config.value_head_dim();
  attention.key = gather(fused, 0, key, key + value, config.heads);
  attention.value = gather(fused, key, value, key + value, config.heads);
}

void join_parted_latents(const Tensor& key, const Tensor& value, AttentionWeights& attention) {
  const Index heads = key.shape[0], latent = key.shape[1], size = key.shape[2];
  const Index bytes = latent * size * dtype_size(key.dtype);
  const auto memory = std::make_shared<std::vector<std::byte>>(static_cast<std::size_t>(heads * bytes));
  for (Index head = 0; head < heads; ++head) {
    const WeightMatrix own =
        transposed({key.name, key.dtype, latent, size, size, key.data + head * bytes, key.owner});
    std::memcpy(memory->data() + head * bytes, own.row_data(0), static_cast<std::size_t>(bytes));
  }
  attention.key = {{key.name, key.dtype, heads * size, latent, latent, memory->data(), memory}, {}};
  attention.value = {
      {value.name, value.dtype, heads * value.shape[1], latent, latent, value.data, value.owner}, {}};
}

void split_gate_up(const LinearWeights& fused, FfnWeights& ffn) {
  // `fused` may be ffn.up itself. NOLINTNEXTLINE(performance-unnecessary-copy-initialization)
  const LinearWeights whole = fused;
  const Index half = whole.weight.rows / 2;
  ffn.gate = slice(whole, 0, half);
  ffn.up = slice(whole, half, half);
}

}  // namespace defectoscope
