#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "analysis/journal.h"
#include "analysis/scan_result.h"
#include "forward/transformer.h"

namespace defectoscope {

/// A dimension of the direction d̂.
struct TopDimension {
  Index dimension = 0;
  double component = 0;  ///< of d̂
  double share = 0;      ///< component²
};

/// The ten dimensions of largest share (all of a narrower direction), largest first, the lower of equal ones
/// first.
std::vector<TopDimension> top_dimensions(const std::vector<float>& direction);

/// A spike token's first and later occurrences within a row, away from the first position.
struct OccurrenceNorms {
  std::int32_t id = -1;
  std::string token;
  Index first = 0, later = 0;             ///< occurrences
  double first_peak = 0, later_peak = 0;  ///< mean of the largest norm over layers; 0 for none
};

/// High-norm states looked at closely.
struct HighNormDetail {
  Index rows = 0, tokens = 0;          ///< looked at
  std::vector<Index> states_by_layer;  ///< [layers + 1]
  /// [layers + 1] mean direction of a layer's high-norm states to d̂, degrees; NaN where there are none.
  std::vector<double> layer_angle_degrees;
  /// [layers + 1][layers + 1] between layers' mean directions.
  std::vector<std::vector<double>> between_layers_degrees;
  std::optional<double> initial_to_non_initial_degrees;  ///< between their mean directions
  Index initial_states = 0, non_initial_states = 0;
  std::vector<OccurrenceNorms> occurrences;
  std::vector<TopDimension> top_dimensions;  ///< by share, at most 10 (the "massive activations")
};

/// What else the transformer gathers while it runs (maxima of its matmuls' inputs): written beside the sums
/// of every finished batch, and read back by a run that goes on from there.
struct GatheredBeside {
  std::function<void(RecordWriter&)> write;
  std::function<void(RecordReader&)> read;
};

/// One more forward pass over calibration rows, with the threshold and the direction of `scan`. The sums up
/// to each batch go to `journal` (its key tells model and rows), so that the same call goes on after the last
/// finished one, to the same bits. Memory: (layers + 3) · d doubles and one batch. Only rows and tokens are
/// filled where the scan found no high norm.
HighNormDetail high_norm_detail(const Transformer& transformer,
                                const std::vector<std::vector<TokenIds>>& batches, const ScanResult& scan,
                                ScanJournal& journal, const GatheredBeside& beside = {});

}  // namespace defectoscope
