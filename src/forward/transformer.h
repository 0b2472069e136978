#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "kernels/gemm.h"
#include "model/model.h"
#include "tensor/matrix.h"

namespace defectoscope {

using TokenIds = std::vector<std::int32_t>;

/// Places on the residual stream. The states of `kAfterLayer` of layer i are Hugging Face's hidden_states[i +
/// 1] (before the final norm); of `kEmbedding` (layer −1): hidden_states[0].
enum class Tap { kEmbedding, kBeforeAttention, kBeforeFfn, kAfterLayer };

/// A batch of sequences laid end to end: rows [begin, end) of the states belong to sequence i.
struct Batch {
  std::vector<TokenIds> sequences;
  std::vector<Index> begin;  ///< [sequences + 1] row offsets
  explicit Batch(std::vector<TokenIds> tokens);
  Index rows() const { return begin.back(); }
};

/// Looks at, or changes, the residual stream as it passes.
class Observer {
 public:
  virtual ~Observer() = default;
  /// `states` [rows, d] may be modified (interventions); layer_index 0-based, −1 at kEmbedding.
  virtual void on_states(Index layer_index, Tap tap, const Batch& batch, MatrixView states);
  /// Wanted on_attention calls cost little, but not nothing.
  virtual bool wants_attention() const { return false; }
  /// `received` [rows]: the attention each token draws: mean over heads and over later queries of its
  /// sequence (itself excluded; 0 for the last token).
  virtual void on_attention(Index layer_index, const Batch& batch, std::span<const float> received);
  /// True skips attention in this layer (Attention(x) = 0).
  virtual bool without_attention(Index layer_index) const;
};

/// A linear map of the forward pass; quantized versions replace dense ones.
class Linear {
 public:
  virtual ~Linear() = default;
  /// x [m, in] → y [m, out], bias included.
  virtual void apply(ConstMatrixView x, MatrixView y) const = 0;
};

/// The matmuls of a block, for LinearFactory.
enum class Module { kQuery, kKey, kValue, kAttentionOutput, kGate, kUp, kDown, kLmHead };
/// Builds the Linear of one module; the default is dense in the transformer's compute type.
using LinearFactory = std::function<std::unique_ptr<Linear>(Index layer_index, Module, const LinearWeights&)>;

struct TransformerOptions {
  ComputeType compute = ComputeType::kF32;
  LinearFactory linear;  ///< empty: dense
};

/// Keys and values of the tokens seen so far, one sequence.
class KvCache;

/// One forward pass for every family: a block that switches on the ArchitectureSpec.
class Transformer {
 public:
  explicit Transformer(const Model& model, const TransformerOptions& options = {});
  ~Transformer();
  Transformer(const Transformer&) = delete;
  Transformer& operator=(const Transformer&) = delete;

  const Model& model() const;

  /// All layers over a batch. Throws Error(kBadInput) on a token id outside the vocabulary or a sequence
  /// longer than the model's positions. Peak memory beyond weights: rows · (4 d + 3 ffn) floats or so.
  void run(const Batch& batch, Observer& observer) const;
  /// The final norm and LM head on chosen rows of final states: states [m, d] → logits [m, vocab].
  void logits(ConstMatrixView states, MatrixView out) const;
  /// Hidden states after every layer (index 0: embedding) for one sequence; small inputs and tests.
  std::vector<Matrix> hidden_states(const TokenIds& tokens) const;
  /// One layer alone on given states [rows, d] of a batch, in place (decay tests, census).
  void run_layer(Index layer_index, const Batch& batch, MatrixView states, Observer& observer) const;
  /// FFN(x) alone, its norm included (trigger): x [m, d] → y [m, d].
  void run_ffn(Index layer_index, ConstMatrixView x, MatrixView y) const;

  /// Embeds token ids (positions from 0): [rows, d].
  Matrix embed(const Batch& batch) const;

  /// Samples `count` sequences at temperature 1, each from the given first tokens on, with a KV cache, until
  /// `length` tokens or the end token. Seeded; the same at any thread count.
  std::vector<TokenIds> sample(const std::vector<TokenIds>& starts, Index length, double temperature,
                               std::uint64_t seed) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace defectoscope
