#pragma once

#include <vector>

#include "analysis/scan_result.h"
#include "forward/transformer.h"

namespace defectoscope {

/// Ordinary tokens fed to a decay layer (the paper's corollary: they stay ordinary).
struct DecayCorollary {
  Index layer = 0;   ///< 1-based
  Index states = 0;  ///< ordinary inputs
  double median_before = 0, max_before = 0;
  double median_after = 0, max_after = 0;  ///< after the layer, each state as a lone token
  Index became_high = 0;                   ///< of them, above the threshold after it
};

/// The states before each of scan.decay_layers whose norm is at or under the threshold, each through the
/// layer as a sequence of its own. Cost: one forward pass over `rows`, up to the layer, for each. Empty where
/// the scan found no decay layer.
std::vector<DecayCorollary> decay_corollary(const Transformer& transformer, const std::vector<TokenIds>& rows,
                                            const ScanResult& scan);

}  // namespace defectoscope
