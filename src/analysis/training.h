#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "analysis/scan_result.h"

namespace defectoscope {

/// One checkpoint of a run (the paper's figures 11 and 12).
struct TrainingPoint {
  std::string name;
  std::optional<Index> step;  ///< the number its name ends in
  NormLandscape landscape;
  std::vector<LayerNorms> norms;  ///< [layers + 1]
  bool has_high_norms = false;
  double median_ratio = 0;  ///< HighNorm::median_ratio; 0 where nothing is high
  Index count = 0;          ///< high-norm states
  double mean_pairwise_angle_degrees = 0;
  std::vector<Index> explosion_layers, decay_layers;  ///< 1-based
  /// Angles between empirical directions; empty where one of the two has none.
  std::optional<double> to_previous_degrees, to_last_degrees;
};

struct Training {
  std::vector<TrainingPoint> points;
  /// First of the points from which on every one has high-norm tokens; empty where the last has none.
  std::optional<std::size_t> appears;
  /// First of the points from which on no two neighbours' directions are further apart than kStableDegrees.
  std::optional<std::size_t> settles;
};
inline constexpr double kStableDegrees = 10;

/// Throws Error(kUsage) for fewer than two, Error(kBadInput) where families, widths or depths differ; what
/// describe() says of them is enough.
void check_checkpoints(std::span<const ScanResult> checkpoints);

/// Checkpoints in the order of training, one scan (or scan_states) each. Throws as
/// check_checkpoints does. Cost: angles only.
Training follow_training(std::span<const ScanResult> checkpoints);

/// Names in the order a person expects: numbers in them by value ("step9" before "step10").
bool natural_less(std::string_view a, std::string_view b);
/// The number a name ends in ("ckpt-400", "step400": 400).
std::optional<Index> trailing_number(std::string_view name);

}  // namespace defectoscope
