#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <limits>
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

/// Looks at, or changes, the residual stream as it passes. The defaults do nothing.
class Observer {
 public:
  virtual ~Observer() = default;
  /// `states` [rows, d] may be modified (interventions); layer_index 0-based, −1 at kEmbedding. In parallel
  /// blocks a change at kBeforeFfn reaches the FFN and the residual, not attention, which ran before.
  virtual void on_states(Index layer_index, Tap tap, const Batch& batch, MatrixView states);
  /// Wanted on_attention calls cost little, but not nothing.
  virtual bool wants_attention() const { return false; }
  /// `received` [rows]: the attention each token draws: mean over heads and over later queries of its
  /// sequence (itself excluded; 0 for the last token).
  virtual void on_attention(Index layer_index, const Batch& batch, std::span<const float> received);
  /// True skips attention in this layer (Attention(x) = 0).
  virtual bool without_attention(Index layer_index) const;
  /// True skips the FFN in this layer (FFN(x) = 0).
  virtual bool without_ffn(Index layer_index) const;
  /// True ends run() after this layer's kAfterLayer.
  virtual bool stop_after(Index layer_index) const;
};

/// A linear map of the forward pass; quantized versions replace dense ones.
class Linear {
 public:
  virtual ~Linear() = default;
  /// x [m, in] → y [m, out], bias included.
  void apply(ConstMatrixView x, MatrixView y) const { apply_at(x, {}, y); }
  /// The same where x holds some of a pass's rows, as an expert's input does: row i is the pass's row
  /// `places[i]`; places ascend. Empty: row i is row i.
  virtual void apply_at(ConstMatrixView x, std::span<const Index> places, MatrixView y) const = 0;
};

/// The kinds of matmuls. In latent attention (MLA) a query that comes by way of a latent is kQueryLatent,
/// then kQueryExpand.
enum class Module {
  kQuery,
  kKey,
  kValue,
  kAttentionOutput,
  kGate,
  kUp,
  kDown,
  kLmHead,
  kRouter,       ///< and the switch of a shared expert
  kQueryLatent,  ///< MLA's projections to its latents
  kKeyValueLatent,
  kKeyPosition,  ///< and to the key's rotary part
  kQueryExpand,  ///< MLA's projections from its latents
  kKeyExpand,
  kValueExpand
};
/// One matmul of a model.
struct ModuleId {
  Index layer_index = 0;  ///< 0-based; −1 for kLmHead
  Module module = Module::kQuery;
  Index expert = kNoExpert;  ///< of kGate, kUp and kDown in a layer with experts: 0-based, or kSharedExpert

  static constexpr Index kNoExpert = -1, kSharedExpert = std::numeric_limits<Index>::max();
  auto operator<=>(const ModuleId&) const = default;
};
/// Builds the Linear of one module; the default is dense in the transformer's compute type.
using LinearFactory = std::function<std::unique_ptr<Linear>(ModuleId, const LinearWeights&)>;

/// The dense Linear, which a factory returns for what it leaves alone.
std::unique_ptr<Linear> make_dense_linear(const LinearWeights& weights, ComputeType compute);

struct TransformerOptions {
  ComputeType compute = ComputeType::kF32;
  LinearFactory linear;  ///< empty: dense
  /// Keep each layer's Linears once built. Mapped weights cost nothing to keep; layouts that must be copied
  /// (GPT-2, fused QKV) and quantized layers take their size in memory. False: one layer in flight.
  bool keep_layers = true;
  /// Changes the residual stream in every pass that takes no observer of its own: final_states, run_cached,
  /// sample, and so perplexity.
  std::shared_ptr<Observer> intervention = nullptr;
  /// Sampling decodes as many sequences at once as their keys and values fit into this.
  Index kv_cache_bytes = Index{512} << 20;
};

class KvCache;

/// One forward pass for every family: a block that switches on the ArchitectureSpec.
class Transformer {
 public:
  explicit Transformer(const Model& model, const TransformerOptions& options = {});
  ~Transformer();
  Transformer(const Transformer&) = delete;
  Transformer& operator=(const Transformer&) = delete;

  const Model& model() const;

  /// All layers over a batch. Throws Error(kBadInput) on a token id outside the vocabulary, an empty
  /// sequence, one longer than learned positions reach, and on NaN or infinity in the states, naming layer
  /// and token. Peak memory beyond weights: rows · (2 d + max(2 ffn, 2 query + 2 kv)) floats, and what one
  /// linear() needs. An interrupt ends it between layers (Error(kInterrupted)).
  void run(const Batch& batch, Observer& observer) const;
  /// The same for sequences whose earlier tokens `caches` hold, one a sequence (or none at all). The batch's
  /// keys and values are written behind those, but not counted as held; caches of the layers that the
  /// observer lets pass are enough.
  void run(const Batch& batch, Observer& observer, std::span<KvCache> caches) const;
  /// The states after the last layer [rows, d], before the final norm.
  Matrix final_states(const Batch& batch) const;
  /// The same for sequences whose earlier tokens `caches` hold (one a sequence, possibly empty): the batch is
  /// their next tokens, which are added. Returns the final states [rows, d].
  Matrix run_cached(const Batch& batch, std::span<KvCache> caches) const;
  /// The final norm and LM head on chosen rows of final states: states [m, d] → logits [m, vocab]. Memory:
  /// m · d floats.
  void logits(ConstMatrixView states, MatrixView out) const;
  /// Hidden states after every layer (index 0: embedding) for one sequence; small inputs and tests.
  std::vector<Matrix> hidden_states(const TokenIds& tokens) const;
  /// One layer alone on given states [rows, d] of a batch, in place (decay tests, census). Of the batch only
  /// the lengths of the sequences matter.
  void run_layer(Index layer_index, const Batch& batch, MatrixView states, Observer& observer) const;
  /// FFN(x) alone, its norms included (trigger): x [m, d] → y [m, d], without the residual.
  void run_ffn(Index layer_index, ConstMatrixView x, MatrixView y) const;

  /// Embeds token ids (positions from 0): [rows, d].
  Matrix embed(const Batch& batch) const;

  /// Continues each of `starts` (one token or more) to `length` tokens, or to the end token, which is kept.
  /// Temperature 0 is greedy, ties to the lower id. Sequence i draws from Random(seed, i); the same at any
  /// thread count.
  std::vector<TokenIds> sample(const std::vector<TokenIds>& starts, Index length, double temperature,
                               std::uint64_t seed) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace defectoscope
