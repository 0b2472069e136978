#pragma once

#include "model/model.h"

namespace defectoscope {

/// Splits a fused projection [heads·head_dim + 2·kv_heads·head_dim, d] into `attention`'s query, key and
/// value: kFusedBlocks borrows rows in place, the interleaved layouts copy them.
void split_qkv(const LinearWeights& fused, const ModelConfig& config, AttentionWeights& attention);
/// Splits fused gate and up [2·ffn, d], gate first, into `ffn`'s two, in place.
void split_gate_up(const LinearWeights& fused, FfnWeights& ffn);

}  // namespace defectoscope
