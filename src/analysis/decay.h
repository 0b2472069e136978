#pragma once

#include <optional>
#include <span>
#include <vector>

#include "analysis/scan_result.h"
#include "forward/transformer.h"
#include "linearize/layer_operator.h"

namespace defectoscope {

/// What the real layer does to its high-norm inputs along d̂.
struct DecayRatio {
  std::optional<double> ratio;  ///< mean of d̂ᵀ(Layer(x) − x) / d̂ᵀx; −1: all of it removed
  Index inputs = 0;             ///< high-norm inputs it is the mean over
};

/// One forward pass over `rows` (a batch): for every layer the ratio over the tokens whose state before the
/// layer has a norm above `threshold`. direction [d], unit.
std::vector<DecayRatio> decay_ratios(const Transformer& transformer, const std::vector<TokenIds>& rows,
                                     std::span<const float> direction, double threshold);

/// Fills the report's Rayleigh quotient and eigenpair fields: R at d̂, and the eigenpair of R nearest to d̂ in
/// angle: by Arnoldi, certified where its residual says so, or, with `exact`, of all by LAPACK (O(d³)),
/// nearest by the angle of the real part, the paper's choice.
void analyse_decay(const LinearizedLayer& layer, std::span<const float> direction, bool exact,
                   LayerReport& report);

}  // namespace defectoscope
