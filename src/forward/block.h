#pragma once

#include <memory>
#include <span>
#include <vector>

#include "forward/expert_layer.h"
#include "forward/latent_attention.h"
#include "forward/rotary_tables.h"
#include "forward/transformer.h"
#include "forward/workspace.h"

namespace defectoscope {

struct RotaryTable;

/// What the layers of one pass share.
struct Pass {
  const Batch& batch;
  Observer& observer;
  Workspace& workspace;
  const RotaryRows& rotary;
  const RotaryRows& local_rotary;  ///< of windowed layers; the same where they have no base of their own
  std::span<KvCache> caches = {};  ///< empty, or one a sequence of the batch
};

/// One transformer block of any family: every difference is a value of the ArchitectureSpec or a weight that
/// is or is not there.
class Block {
 public:
  Block(const Model& model, Index layer_index, const TransformerOptions& options);

  /// states [rows, d] through the block, in place, with its taps.
  void forward(const Pass& pass, MatrixView states) const;
  /// FFN(x) with its norms, without the residual: x [m, d] → y [m, d]. y may be the workspace's normed().
  void ffn(ConstMatrixView x, MatrixView y, Workspace& workspace) const;

 private:
  /// Attention(x) with its norms, without the residual; y may be the workspace's normed().
  void attention(const Pass& pass, ConstMatrixView x, MatrixView y) const;
  /// Turns the workspace's queries and keys, where this layer does.
  void turn(const Pass& pass, Index rows) const;
  /// The workspace's queries, keys and values to its context, sequence by sequence.
  void attend(const Pass& pass) const;
  void attend_sequence(const Pass& pass, Index sequence, std::span<float> received) const;

  const ModelConfig& config_;
  Index layer_index_;
  bool pre_norm_, output_norm_, sum_norm_, parallel_;
  std::vector<float> alibi_slopes_;
  NormWeights attention_norm_, attention_post_norm_, ffn_norm_, ffn_post_norm_, query_norm_, key_norm_;
  std::vector<float> sinks_;
  std::unique_ptr<Linear> query_, key_, value_, output_;
  std::unique_ptr<LatentProjections> latent_;  ///< in place of query_, key_, value_
  std::unique_ptr<FeedForward> ffn_;
  std::unique_ptr<ExpertLayer> experts_;  ///< in place of ffn_
};

}  // namespace defectoscope
