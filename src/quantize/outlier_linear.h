#pragma once

#include "quantize/quantized_linear.h"

namespace defectoscope {

/// LLM.int8() (Dettmers et al. 2022): input columns that somewhere in the window reach the threshold are
/// multiplied unquantized with the weights as stored, all others on integers with a step a token and a step
/// an output.
std::unique_ptr<Linear> make_outlier_linear(const LinearWeights& weights, const QuantScheme& scheme,
                                            const QuantizedLinearOptions& options);

}  // namespace defectoscope
