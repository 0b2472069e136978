#pragma once

#include <algorithm>

#include "model/config.h"

namespace defectoscope {

inline constexpr Index kWholeContext = Index{1} << 40;

/// Tokens a row may have: `wanted`, or the model's context where that is shorter.
inline Index row_limit(const ModelConfig& config, Index wanted) {
  return config.max_positions > 0 ? std::min(wanted, config.max_positions) : wanted;
}

}  // namespace defectoscope
