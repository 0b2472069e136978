#pragma once

#include <span>

#include "tensor/matrix.h"

namespace defectoscope {

/// Attention of one sequence, or of its newest tokens over a cache of keys and values.
struct AttentionParameters {
  Index heads = 0;     ///< query heads
  Index kv_heads = 0;  ///< divides heads; query head h reads key-value head h / (heads / kv_heads)
  Index head_dim = 0;
  Index value_dim = 0;  ///< of a value head; 0: head_dim
  float scale = 1;      ///< of q·k, usually 1/√head_dim
  bool causal = true;
  /// Position of the first query; row i of q stands at offset + i, row j of k and v at j.
  Index offset = 0;
  /// Keys a query sees, itself included; 0 = all. Without `causal`, as many to either side.
  Index window = 0;
  /// ALiBi: one slope a head, −slope · |query position − key position| is added to the scores. Empty = none.
  std::span<const float> alibi_slopes = {};
  /// Scores become cap · tanh(score / cap); 0 = none.
  float soft_cap = 0;
  /// One further logit a head, which takes its share of every softmax and gives nothing. Empty = none.
  std::span<const float> sinks = {};
};

/// out[i, h] = softmax_j(scale q[i, h]·k[j, h'] + bias) v[j, h'], over the keys that query i sees.
///
/// q [queries, heads * head_dim], out [queries, heads * value_dim], k [keys, kv_heads * head_dim], v [keys,
/// kv_heads * value_dim], any strides; out may be q itself. Blocks of queries times one head are the tiles:
/// f32 products through oneDNN, one block of scores [128 or fewer, keys] a thread at a time. Deterministic at
/// any thread count.
///
/// `received` (empty, or one value a key) gets the attention that each key draws, summed over heads and over
/// the queries other than the key itself; see attention_query_counts for means.
void attention(const AttentionParameters& parameters, ConstMatrixView q, ConstMatrixView k, ConstMatrixView v,
               MatrixView out, std::span<float> received = {});

/// counts[j] = how many of `queries` queries, key j's own left out, see key j of counts.size() keys.
/// The mean attention key j receives is received[j] / (heads · counts[j]).
void attention_query_counts(const AttentionParameters& parameters, Index queries, std::span<Index> counts);

}  // namespace defectoscope
