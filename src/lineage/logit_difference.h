#pragma once

#include "model/model.h"

namespace defectoscope {

/// ‖logits of b − logits of a‖ / ‖logits of a‖ over 16 seeded tokens and the vocabulary entries that both
/// have: what an attack that preserves the function leaves near 0. Two forward passes. Throws as Transformer
/// does.
double logit_difference(const Model& a, const Model& b);

/// Above this it is more than rounding.
inline constexpr double kLogitRounding = 1e-3;

}  // namespace defectoscope
