#pragma once

#include <vector>

#include "analysis/norm_table.h"
#include "analysis/scan_result.h"
#include "analysis/steps.h"
#include "analysis/threshold.h"

namespace defectoscope {

/// What the states alone say about where high norms come from and go to.
struct LifeCycle {
  std::vector<FoundLayer> explosion, decay;  ///< by layer
  bool gradual_growth = false;               ///< norms grow in many layers of which none stands out
  bool gradual_decay = false;
};

/// What a step's confidence is a logistic function of: margins and their caps; [kConfidenceFeatures].
inline constexpr int kConfidenceFeatures = 7;
std::vector<double> confidence_features(const StepEvidence& evidence);

/// Confidence that a step is one a layer makes by itself and not a part of slow growth, a stray or noise:
/// logistic in confidence_features, weights fitted on synthetic life cycles (fit_confidence.cc) and checked
/// on others and on phantoms.
double step_confidence(const StepEvidence& evidence);

/// Explosion and decay layers: the abrupt gains and losses of find_steps that deserve confidence of one half
/// or more.
LifeCycle find_life_cycle(const NormTable& table, const HighNormSplit& split);

}  // namespace defectoscope
