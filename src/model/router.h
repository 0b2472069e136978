#pragma once

#include <span>
#include <vector>

#include "model/config.h"

namespace defectoscope {

/// An expert that a token passes, and what its output counts.
struct RoutedExpert {
  Index expert = 0;
  double weight = 0;
};

/// The experts of one token, in ascending order: the `chosen` of largest score (softmax or sigmoid of the
/// logits, plus `selection_bias` [experts] or nothing), out of the best groups where there are groups; equal
/// scores to the lower expert. Weights are the scores without the bias, over their sum where normalized,
/// times the scale. O(experts · log experts).
std::vector<RoutedExpert> route(const ModelConfig& config, std::span<const float> logits,
                                std::span<const float> selection_bias);

}  // namespace defectoscope
