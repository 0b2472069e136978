#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analysis/scan_result.h"
#include "kernels/gemm.h"
#include "linearize/layer_operator.h"

namespace defectoscope {

class Model;
class Tokenizer;
class ScanJournal;

struct MechanismOptions {
  Index entries = 1000;  ///< vocabulary entries tried, drawn by the seed; all where there are no more
  std::uint64_t seed = 0;
  ComputeType compute = ComputeType::kF32;
  LinearizeOptions linearize;
};

/// Norms of a state on its way through one layer, means where they are of several tokens.
struct PathStep {
  Index layer = 0;  ///< 1-based
  double before_attention = 0;
  std::optional<double> before_ffn;  ///< after attention; empty in parallel blocks, where both read one state
  double after = 0;
};

/// A sequence of one token, from the embedding to the last explosion layer.
struct LonePath {
  std::string token;  ///< readable; empty: the mean over the entries tried
  Index tokens = 1;   ///< that the norms are means over
  double embedding = 0;
  std::vector<PathStep> steps;
};

/// One explosion layer (the paper's section 3.3 and 3.4), over the entries tried.
struct ExplosionEvidence {
  Index layer = 0;  ///< 1-based
  // Development: entries whose state after the layer has a norm above the threshold.
  Index high_first = 0;              ///< as the first token, attention as it is
  Index high_second = 0;             ///< as the second token
  Index high_without_attention = 0;  ///< with all attention removed
  double mean_first = 0, mean_second = 0, mean_without_attention = 0;  ///< norms after the layer
  // Trigger: right singular vectors of F through the real FFN, the larger of both signs.
  double leading_output = 0;                             ///< norm of FFN(±v1)
  double next_output = 0;                                ///< the largest of those of v2 ... v8
  double coefficient_first = 0, coefficient_second = 0;  ///< mean |v1 · h| just before the FFN
  // Explosion: degrees to the empirical direction.
  std::optional<double> left_angle_degrees, ffn_left_angle_degrees;
};

/// One decay layer (section 3.2).
struct DecayEvidence {
  Index layer = 0;  ///< 1-based
  std::optional<double> eigenvalue_re, eigenvector_angle_degrees, decay_ratio;
};

/// A model's mechanism with its evidence (the paper's figure 2).
struct Mechanism {
  std::string reason;  ///< why there is nothing to explain; empty where there is
  double threshold = 0;
  Index entries = 0;
  std::vector<LonePath> paths;  ///< a spike token of each kind, then the mean over the entries tried
  std::vector<ExplosionEvidence> explosions;
  std::vector<DecayEvidence> decays;
};

/// From a scan of the same model. Cost: three forward passes of `entries` sequences of one or two tokens up
/// to the last explosion layer, and eight singular triplets of F for each. Each of these goes to `journal`
/// (its key tells model and scan) when it is done. Throws as Transformer::run does.
Mechanism explain_mechanism(const Model& model, const Tokenizer& tokenizer, const ScanResult& scan,
                            const MechanismOptions& options, ScanJournal& journal);

}  // namespace defectoscope
