#pragma once

#include <functional>
#include <memory>

#include "forward/transformer.h"

namespace defectoscope {

/// Builds one Linear of a layer.
using MakeLinear = std::function<std::unique_ptr<Linear>(Module, const LinearWeights&)>;

/// down(act(gate(x)) · up(x)), or down(act(up(x))): the FFN of a dense layer, or one expert.
class FeedForward {
 public:
  FeedForward(const FfnWeights& weights, const MakeLinear& make);

  bool gated() const { return gate_ != nullptr; }
  /// x [m, d] → y [m, d]; up and gate are buffers [m, ffn], gate unused where not gated. y may be x. `places`
  /// as for Linear::apply_at.
  void apply(const ModelConfig& config, ConstMatrixView x, std::span<const Index> places, MatrixView up,
             MatrixView gate, MatrixView y) const;

 private:
  std::unique_ptr<Linear> gate_, up_, down_;
};

}  // namespace defectoscope
