#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "analysis/trigger_inputs.h"
#include "forward/transformer.h"

namespace defectoscope {

class ScanJournal;
class Tokenizer;

/// Four predictions of the high-norm direction that look at no text, for one layer: angles to the empirical
/// direction, degrees.
struct LayerPredictions {
  Index layer = 0;                             ///< 1-based
  std::optional<double> left_of_layer;         ///< leading left singular vector of L, the paper's
  std::optional<double> left_of_ffn;           ///< of F alone
  std::optional<double> left_of_scaled_layer;  ///< of L with A and F divided by their input's rms; only where
                                               ///< norms stand before attention and FFN
  std::optional<double> maximiser;             ///< the real FFN's output at its true maximiser
  double attention_input_rms = 0, ffn_input_rms = 0;  ///< medians over entries at second position
  TriggerInputs inputs;
};

struct PredictionOptions {
  std::span<const float> direction;  ///< [d] empirical, unit
  LinearizeOptions linearize = {};
  std::uint64_t seed = 0;
};

/// All layers. The rms of a layer's inputs comes from 256 seeded vocabulary entries at second position, so
/// that no text is needed. Finished layers are kept in the journal. Cost a layer: a few dozen passes over its
/// weights.
std::vector<LayerPredictions> predict_direction(const Transformer& transformer, const Tokenizer& tokenizer,
                                                const PredictionOptions& options, ScanJournal& journal);

}  // namespace defectoscope
