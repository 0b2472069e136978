#include "forward/feed_forward.h"

#include "forward/elementwise.h"

namespace defectoscope {

FeedForward::FeedForward(const FfnWeights& weights, const MakeLinear& make)
    : gate_(make(Module::kGate, weights.gate)),
      up_(make(Module::kUp, weights.up)),
      down_(make(Module::kDown, weights.down)) {}

void FeedForward::apply(const ModelConfig& config, ConstMatrixView x, std::span<const Index> places,
                        MatrixView up, MatrixView gate, MatrixView y) const {
  up_->apply_at(x, places, up);
  if (gate_) {
    gate_->apply_at(x, places, gate);
    activate_gated(config, gate, up);
  } else {
    activate(config.activation, up);
  }
  down_->apply_at(gate_ ? gate : up, places, y);
}

}  // namespace defectoscope
