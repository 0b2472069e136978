#pragma once

#include <optional>

#include "model/model.h"

namespace defectoscope {

/// ‖logits of b − logits of a‖ / ‖logits of a‖ over 16 seeded tokens and the vocabulary entries that both
/// have: what an attack that preserves the function leaves near 0. Entries are matched by their spelling
/// where both models have a tokenizer in their folder. Two forward passes. Throws as Transformer does.
double logit_difference(const Model& a, const Model& b);

/// Whether seeded text, cut by the tokenizers in the models' folders, is the same entries by spelling to
/// both; none where one of them has no tokenizer.
std::optional<bool> text_is_cut_alike(const Model& a, const Model& b);

/// Above this it is more than rounding.
inline constexpr double kLogitRounding = 1e-3;

}  // namespace defectoscope
