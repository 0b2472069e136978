#pragma once

#include <optional>
#include <string>
#include <vector>

#include "analysis/scan_result.h"
#include "model/config.h"

namespace defectoscope {

/// What the paper's section 4 asks of a model's design: the factors that might matter for high norms.
struct EmergenceFactors {
  bool causal = true;
  Index window = 0;           ///< keys a query sees in windowed layers; 0: all
  Index windowed_layers = 0;  ///< layers that have the window
  std::string positions;      ///< "rotary", "learned", "ALiBi", "none"
  std::string ffn;            ///< "gated SiLU", "plain GELU", ...
  Index queries_per_key = 1;  ///< heads / key-value heads: above 1 grouped queries
  bool parallel = false;      ///< attention and FFN side by side
  std::string norm;           ///< "RMSNorm before", "LayerNorm after", ...
};
EmergenceFactors emergence_factors(const ModelConfig& config);

/// One model of the comparison: its factors and what its states show.
struct EmergenceRow {
  std::string name, family;
  EmergenceFactors factors;
  bool has_high_norms = false;
  double median_ratio = 0;       ///< 0 where nothing is high
  bool first_position = false;   ///< a first token is high
  bool later_positions = false;  ///< a later one is
  double mean_pairwise_angle_degrees = 0;
  std::vector<Index> explosion_layers, decay_layers;  ///< 1-based
  NormLandscape landscape;
  std::string sentence;  ///< what to make of it
};
EmergenceRow emergence_row(const ScanResult& scan, const ModelConfig& config);

}  // namespace defectoscope
