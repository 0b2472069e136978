#include "analysis/life_cycle.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

namespace defectoscope {
namespace {

constexpr double kReported = 0.5;  // confidence

/// By `fit_confidence`; in the order of confidence_features.
constexpr std::array<double, kConfidenceFeatures> kWeights = {-7.16, 2.52, -0.63, -1.98, 5.94, 0.14, 1.53};

std::vector<FoundLayer> merged(const Steps& steps, double sign) {
  std::map<Index, FoundLayer> layers;
  for (const StepEvidence& evidence : steps.abrupt) {
    const double confidence = step_confidence(evidence);
    if (confidence < kReported) continue;
    FoundLayer& layer = layers[evidence.layer];
    if (confidence > layer.confidence) {
      layer.confidence = confidence;
      layer.factor = std::exp(sign * evidence.log_step);
    }
    layer.layer = evidence.layer;
    (evidence.initial ? layer.initial : layer.non_initial) = true;
  }
  std::vector<FoundLayer> result;
  for (const auto& [number, layer] : layers) result.push_back(layer);
  return result;
}

}  // namespace

std::vector<double> confidence_features(const StepEvidence& evidence) {
  return {1,
          std::min(evidence.log_step, 2.0),
          std::max(evidence.log_share, evidence.share),
          std::min(evidence.log_share, evidence.share),
          evidence.agreement,
          std::min(evidence.gap, 2.0),
          std::min(std::log(static_cast<double>(evidence.tokens)), 4.0)};
}

double step_confidence(const StepEvidence& evidence) {
  const std::vector<double> features = confidence_features(evidence);
  double margin = 0;
  for (std::size_t i = 0; i < features.size(); ++i) margin += kWeights[i] * features[i];
  return 1 / (1 + std::exp(-margin));
}

LifeCycle find_life_cycle(const NormTable& table, const HighNormSplit& split) {
  const GainsAndLosses steps = find_steps(table, split);
  return {.explosion = merged(steps.gains, 1),
          .decay = merged(steps.losses, -1),
          .gradual_growth = steps.gains.gradual,
          .gradual_decay = steps.losses.gradual};
}

}  // namespace defectoscope
