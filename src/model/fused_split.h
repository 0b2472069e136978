#pragma once

#include "model/model.h"

namespace defectoscope {

/// Splits a fused projection [heads·head_dim + 2·kv_heads·head_dim, d] into `attention`'s query, key and
/// value: kFusedBlocks borrows rows in place, the interleaved layouts copy them.
void split_qkv(const LinearWeights& fused, const ModelConfig& config, AttentionWeights& attention);
/// Splits fused gate and up [2·ffn, d], gate first, into `ffn`'s two, in place.
void split_gate_up(const LinearWeights& fused, FfnWeights& ffn);
/// Splits [2·ffn, d] whose rows are gate and up in turn (gpt-oss), into `ffn`'s two; copies.
void split_alternating(const LinearWeights& fused, FfnWeights& ffn);
/// Splits MLA's [kv_latent + rotary_dim, d] into the latent's rows and the key's rotary ones, in place.
void split_kv_latent(const LinearWeights& fused, const ModelConfig& config, LatentWeights& latent);
/// Splits MLA's [heads · (head_dim − rotary_dim + value_head_dim), kv_latent], key and value of each head in
/// turn, into `attention`'s key and value; copies.
void split_kv_expand(const LinearWeights& fused, const ModelConfig& config, AttentionWeights& attention);
/// The same from two tensors: key [heads, kv_latent, head_dim − rotary_dim], copied, value [heads,
/// value_head_dim, kv_latent], in place.
void join_parted_latents(const Tensor& key, const Tensor& value, AttentionWeights& attention);

}  // namespace defectoscope
