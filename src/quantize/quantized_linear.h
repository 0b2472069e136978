#pragma once

#include <memory>

#include "forward/transformer.h"
#include "quantize/scheme.h"

namespace defectoscope {

/// What a quantized matmul needs to know beyond its weights.
struct QuantizedLinearOptions {
  /// Rows of a pass that one window's input holds, the pass's first being a window's first: a step of
  /// Granularity::kTensor is over those of a call's rows that stand in one window (Linear::apply_at). 0: a
  /// call is one window. What shares a pass then does not change results.
  Index window = 0;
  float weight_max = 0;  ///< max|W| of the stored matrix that the weights are a part of; 0: their own
  float input_max = 0;   ///< of calibration, for static activations
  /// The inputs' storage type of unquantized sides (activation_bits or weight_bits 16).
  ComputeType compute = ComputeType::kF32;
};

/// A Linear by `scheme`: on integers (one step a row of inputs and one a row of weights at most, exact 32-bit
/// sums) or simulated: weights and inputs quantized, dequantized and multiplied in f32. Both round alike and
/// differ by the rounding of f32 only. Rows that hold NaN or infinity give rows of NaN and touch no other
/// token's step, so that the forward pass names their layer and token.
/// Memory: one byte a weight on integers, four simulated. Throws Error(kBadInput) as quantize_weight does.
std::unique_ptr<Linear> make_quantized_linear(const LinearWeights& weights, const QuantScheme& scheme,
                                              const QuantizedLinearOptions& options);

}  // namespace defectoscope
