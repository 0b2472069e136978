#pragma once

#include <memory>

#include "linearize/ffn_fit.h"
#include "model/model.h"
#include "spectral/linear_operator.h"

namespace defectoscope {

/// The linear forms of one layer (THEORY.md, section 1), matrix-free; each [d, d].
enum class LinearForm { kAttention, kFfn, kLayer, kResidual };  // A, F, L, R = L − I

struct LinearizeOptions {
  bool paper_parity = false;  ///< no centring, no biases, Σ = I
  InputCovariance covariance = InputCovariance::kGain;
  Index samples = 0;  ///< > 0: sampled F1 instead of closed form
  std::uint64_t seed = 0;
};

/// A layer with its fit; hands out operators that borrow from it. A pass of kLayer reads the value, output,
/// gate, up and down matrices once each.
class LinearizedLayer {
 public:
  LinearizedLayer(LayerWeights weights, const ModelConfig& config, const LinearizeOptions& options);
  ~LinearizedLayer();
  LinearizedLayer(const LinearizedLayer&) = delete;
  LinearizedLayer& operator=(const LinearizedLayer&) = delete;

  const FfnFit& fit() const;
  const LayerWeights& weights() const;
  /// Valid while the layer lives.
  const LinearOperator& form(LinearForm form) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace defectoscope
