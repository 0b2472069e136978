#pragma once

#include "quantize/quantized_linear.h"

namespace defectoscope {

/// The simulated half of make_quantized_linear.
std::unique_ptr<Linear> make_simulated_linear(const LinearWeights& weights, const QuantScheme& scheme,
                                              const QuantizedLinearOptions& options);

/// The weights as the scheme leaves them, dequantized [out, in] in f32; `max` as for quantize_weight. Throws
/// Error(kBadInput), naming the tensor, where they are not finite.
Matrix simulated_weight(const WeightMatrix& weight, const QuantScheme& scheme, float max = 0);

}  // namespace defectoscope
