#pragma once

#include <vector>

#include "analysis/norm_table.h"
#include "analysis/threshold.h"

namespace defectoscope {

/// One layer's step of one group of special tokens, and what speaks for its being an abrupt one.
struct StepEvidence {
  Index layer = 0;       ///< 1-based
  double log_step = 0;   ///< ln of the factor gained (lost), both absolutely and against ordinary tokens
  double log_share = 0;  ///< of its run of steps, in logarithms
  double share = 0;      ///< of its run, in norm
  double height = 0;     ///< of the group's largest norm: the part gained (lost) here
  double agreement = 0;  ///< share of the group's tokens that make at least half this step here
  double gap = 0;        ///< HighNormSplit::separation
  Index run = 0;         ///< neighbouring layers that step the same way
  Index tokens = 0;      ///< in the group
  bool initial = false;  ///< a group of first tokens
};

/// Abrupt steps one way, of all groups.
struct Steps {
  std::vector<StepEvidence> abrupt;
  bool gradual = false;  ///< some group went most of its way in many layers of which none stands out
};
struct GainsAndLosses {
  Steps gains, losses;
};

/// Steps of the special tokens' norms.
///
/// Special tokens, first and later ones apart, are grouped by the layer of their largest gain. Along a
/// group's median trajectory a layer's gain is the smaller of its growth of log norm and of log (norm /
/// ordinary median), so that neither growth nor shrinkage that all tokens share counts; its loss likewise.
/// Neighbouring layers that gain form a run. In a run of up to two (or a tenth of the layers) each layer with
/// a substantial step is abrupt; in a longer one only a layer that makes the better part of the run, in norm
/// and in its logarithm: otherwise the growth is gradual. Losses by the same rule. Cost: special tokens ·
/// layers.
GainsAndLosses find_steps(const NormTable& table, const HighNormSplit& split);

}  // namespace defectoscope
