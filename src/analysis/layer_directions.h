#pragma once

#include <optional>
#include <string>
#include <vector>

#include "analysis/scan.h"

namespace defectoscope {

/// Directions of a layer beside those a scan reports (left vectors of L and of F).
struct LayerDirections {
  Index layer = 0;  ///< 1-based
  /// Of the leading left singular vector of attention's A alone to d̂.
  std::optional<double> attention_angle_degrees;
  double attention_singular_value = 0;
  /// Of the leading left singular vector of L_l · … · L_1: what the layers up to this one do together to a
  /// vector that no norm interrupts.
  std::optional<double> accumulated_angle_degrees;
};
struct AccumulatedDirections {
  std::vector<LayerDirections> layers;
  std::string note;  ///< why accumulated angles are missing; empty where they are not
};

/// All layers. The products cost layers² / 2 layer passes an iteration, so they are left out beyond 300 M
/// parameters. Finished layers are kept in the journal. Deterministic in options.seed.
AccumulatedDirections layer_directions(const Model& model, const ScanOptions& options, const ScanResult& scan,
                                       ScanJournal& journal);

}  // namespace defectoscope
