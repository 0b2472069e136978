#pragma once

#include <vector>

#include "forward/feed_forward.h"

namespace defectoscope {

/// A layer's experts: each token goes through those its router chooses, and through the shared one.
class ExpertLayer {
 public:
  /// `make_of(expert)` builds the Linears of one expert; of ModuleId::kNoExpert the router's.
  ExpertLayer(const ModelConfig& config, const ExpertWeights& weights,
              const std::function<MakeLinear(Index expert)>& make_of);

  /// x [m, d] → y [m, d], which may be x: Σ weight · expert(x) + shared(x). Tokens are gathered expert by
  /// expert, so that each expert's matrices are read once; a token's sum runs over its experts in ascending
  /// order. Memory: 2 m (d + ffn) floats where all tokens choose the same expert.
  void apply(ConstMatrixView x, MatrixView y) const;

 private:
  void add_expert(const FeedForward& expert, ConstMatrixView x, std::span<const Index> rows,
                  std::span<const double> weights, Index ffn_size, Matrix& sum) const;

  const ModelConfig& config_;
  std::unique_ptr<Linear> router_, shared_switch_;
  std::vector<float> selection_bias_;
  std::vector<FeedForward> experts_;
  std::vector<FeedForward> shared_;  ///< one or none
};

}  // namespace defectoscope
