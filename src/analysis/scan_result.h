#pragma once

#include <complex>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/index.h"

namespace defectoscope {

/// Norms of hidden states, [layers + 1] × tokens, layer 0 the embedding.
struct NormLandscape {
  std::vector<std::string> tokens;         ///< readable
  std::vector<std::vector<double>> norms;  ///< norms[layer][token]
};

/// What the calibration text's norms look like in one layer (0 = embedding).
struct LayerNorms {
  Index layer = 0;
  double median = 0, p90 = 0, p99 = 0, max = 0;
  double initial_median = 0;  ///< of first positions
};

/// A token that has high norm somewhere, by its vocabulary entry.
struct SpikeToken {
  std::int32_t id = -1;
  std::string token;         ///< readable
  Index count = 0;           ///< high-norm occurrences
  Index occurrences = 0;     ///< all occurrences
  bool initial = false;      ///< high-norm as first token
  bool non_initial = false;  ///< high-norm elsewhere
  double first_occurrence_share =
      0;  ///< of its non-initial high-norm occurrences, those that are its first in the row
  double peak_norm = 0;
  std::vector<double> norm_by_layer;             ///< [layers + 1] mean over its high-norm occurrences
  std::vector<double> attention_share_by_layer;  ///< [layers] mean attention drawn
};

struct HighNorm {
  double threshold = 0;
  double threshold_confidence = 0;
  bool threshold_given = false;
  Index count = 0;  ///< hidden states above the threshold, all layers
  double mean_pairwise_angle_degrees = 0;
  Index angle_states = 0;  ///< states that angle is the mean over, all pairs (count, or a seeded subset)
  double median_ratio =
      0;  ///< median over high-norm occurrences of peak norm / ordinary median of that layer
  Index initial_occurrences = 0, non_initial_occurrences = 0;  ///< token occurrences with high norm
  std::vector<SpikeToken> tokens;                              ///< most frequent first
  std::vector<float> direction;                                ///< d̂ [d], empty where nothing is high
};

/// A layer that makes or removes high norms.
struct FoundLayer {
  Index layer = 0;  ///< 1-based
  double confidence = 0;
  double factor = 1;         ///< norm after / norm before, median over its high-norm tokens
  bool initial = false;      ///< acts on first tokens
  bool non_initial = false;  ///< acts on later ones
};

/// Their numbers, 1-based.
inline std::vector<Index> layer_numbers(const std::vector<FoundLayer>& layers) {
  std::vector<Index> numbers;
  for (const FoundLayer& found : layers) numbers.push_back(found.layer);
  return numbers;
}

/// One layer's weights, analysed. Angles in degrees; nullopt where they do not exist.
struct LayerReport {
  Index layer = 0;  ///< 1-based
  std::optional<double> left_angle_degrees, ffn_left_angle_degrees;
  std::vector<double> singular_values;  ///< first two of L
  std::vector<double> ffn_singular_values;
  Index passes = 0;
  double residual = 0;             ///< relative, of the leading triplet
  double angle_bound_degrees = 0;  ///< of the leading vectors
  bool converged = false;
  std::optional<double> rayleigh, rayleigh_residual;
  std::optional<double> decay_ratio;
  Index decay_inputs = 0;  ///< high-norm inputs the ratio is the mean over
  std::optional<std::complex<double>> eigenvalue;
  std::optional<double> eigenvector_angle_degrees, eigenvector_span_angle_degrees;
  std::optional<double> eigen_residual;  ///< ‖R x − λ x‖ / ‖x‖ of that pair
  bool eigenpair_certified = false;
  double linear_variance_explained = 0, quadratic_variance_explained = 0;
  double linear_variance_explained_weighted = 0, quadratic_variance_explained_weighted = 0;
  std::vector<float> left, right;  ///< [d], signs fixed: left·empirical ≥ 0, L·right = σ·left
  std::vector<float> ffn_left;
};

struct CalibrationInfo {
  std::string source;  ///< the text file's name, or "sampled from the model", "random vocabulary entries"
  std::string text_sha256;
  Index rows_available = 0;
  Index rows_used = 0;
  Index tokens = 0;
  bool drawn = false;  ///< random vocabulary entries, for want of a text and of a model that writes one
  bool settled_early = false;
};

/// Everything `scan` found; report writes it, nobody else prints.
struct ScanResult {
  std::string model_name;
  std::string family;
  std::string model_type;
  std::string fingerprint;
  Index layers = 0;
  Index hidden_size = 0;
  Index heads = 0, kv_heads = 0, ffn_size = 0, vocab_size = 0;
  Index parameters = 0;
  std::string dtype;

  // Options that shaped the result.
  std::uint64_t seed = 0;
  bool exact = false;
  bool paper_parity = false;
  std::string compute;          ///< "f32" or "bf16"
  std::string instruction_set;  ///< the kernels' target
  std::string linearization;    ///< "closed form" or "sampled N"

  NormLandscape landscape;
  std::vector<LayerNorms> norms;  ///< [layers + 1]
  CalibrationInfo calibration;
  HighNorm high_norm;
  std::vector<FoundLayer> explosion_layers, decay_layers;
  bool gradual_growth = false;  ///< special tokens' norms grow over many layers, none of which stands out
  bool gradual_decay = false;
  std::vector<LayerReport> layer_reports;  ///< [layers]
  std::vector<std::string> notes;          ///< sentences a reader must know (text shorter than asked, ...)
};

}  // namespace defectoscope
