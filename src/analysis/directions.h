#pragma once

#include <cstdint>
#include <span>

#include "analysis/scan_result.h"
#include "linearize/layer_operator.h"

namespace defectoscope {

class Model;

struct DirectionOptions {
  LinearizeOptions linearize;
  bool exact = false;      ///< LAPACK's triplets in place of the Krylov method's
  std::uint64_t seed = 0;  ///< of the starting block
};

/// Everything the weights of one layer say: leading triplets of L and of F, their angles to d̂, decay, trust.
/// `direction` [d] is unit, or empty where there is no empirical direction: then angles, Rayleigh quotient
/// and eigenpair stay empty, and a vector's sign makes its largest component positive. One layer in memory.
LayerReport analyse_layer(const Model& model, Index layer_index, std::span<const float> direction,
                          const DirectionOptions& options);

}  // namespace defectoscope
