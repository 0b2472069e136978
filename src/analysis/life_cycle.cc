#include "analysis/life_cycle.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace defectoscope {
namespace {

const double kSubstantial = std::log(1.6);  // a step that counts by itself
const double kNoticeable = std::log(1.22);  // one that counts with kHeight of the whole
constexpr double kHeight = 0.2;
const double kInRun = std::log(1.05);   // below this a layer leaves norms as they are
constexpr double kLogOfLargest = 0.15;  // a run's members, against its largest step
constexpr double kShareOfLargest = 0.25;
constexpr Index kShortRun = 2;  // or a tenth of the layers
constexpr double kDominant = 0.4;
constexpr double kReported = 0.5;  // confidence

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

double median_of(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Special tokens that explode together.
struct Group {
  bool initial = false;
  std::vector<Index> tokens;
};

/// The norms' logarithms, and those of ordinary tokens.
struct Trajectories {
  const NormTable& table;
  std::vector<double> ordinary;  // [layers + 1]
  double log_norm(Index token, Index layer) const {
    return std::log(std::max<double>(table.norms[at(layer)][at(token)], 1e-30));
  }
  /// Gain (sign +1) or loss (−1) of a trajectory from layer − 1 to layer.
  double step(double before, double after, Index layer, double sign) const {
    const double absolute = sign * (after - before);
    return std::min(absolute, absolute - sign * (ordinary[at(layer)] - ordinary[at(layer - 1)]));
  }
};

std::vector<Group> group_tokens(const Trajectories& paths, const HighNormSplit& split) {
  const Index layers = paths.table.layers();
  std::map<std::pair<bool, Index>, std::vector<Index>> groups;  // (initial, layer of the largest gain)
  Index sizes[2] = {0, 0};
  for (Index t = 0; t < paths.table.tokens.size(); ++t) {
    if (!split.special[at(t)]) continue;
    const bool initial = paths.table.tokens.initial[at(t)] != 0;
    Index best = 0;
    double largest = 0;
    for (Index layer = 1; layer <= layers; ++layer) {
      const double gain = paths.step(paths.log_norm(t, layer - 1), paths.log_norm(t, layer), layer, 1);
      if (gain > largest) {
        largest = gain;
        best = layer;
      }
    }
    groups[{initial, best}].push_back(t);
    ++sizes[initial];
  }
  std::vector<Group> result;
  for (auto& [key, tokens] : groups) {
    // A few strays of a large class are noise; a class of few is all there is.
    if (static_cast<double>(tokens.size()) < 0.05 * static_cast<double>(sizes[key.first])) continue;
    result.push_back({key.first, std::move(tokens)});
  }
  return result;
}

struct Found {
  std::vector<StepEvidence> steps;
  bool gradual = false;
};

/// Abrupt steps of one sign along a group's median trajectory.
Found abrupt_steps(const Trajectories& paths, const HighNormSplit& split, const Group& group, double sign) {
  const Index layers = paths.table.layers();
  std::vector<double> median(at(layers + 1)), ratio(at(layers + 1)), step(at(layers + 1));
  for (Index layer = 0; layer <= layers; ++layer) {
    std::vector<double> values;
    for (const Index t : group.tokens) values.push_back(paths.log_norm(t, layer));
    median[at(layer)] = median_of(std::move(values));
    ratio[at(layer)] = std::exp(median[at(layer)] - paths.ordinary[at(layer)]);
    if (layer > 0) step[at(layer)] = paths.step(median[at(layer - 1)], median[at(layer)], layer, sign);
  }
  const double height = *std::max_element(ratio.begin(), ratio.end());
  const Index short_run = std::max(kShortRun, layers / 10);
  // What a step adds to (takes from) the ratio; only where the step itself has the sign.
  const auto part = [&](Index layer) {
    return std::max(0.0, sign * (ratio[at(layer)] - ratio[at(layer - 1)]));
  };
  Found found;
  for (Index begin = 1; begin <= layers;) {
    if (step[at(begin)] < kInRun) {
      ++begin;
      continue;
    }
    Index end = begin;
    while (end <= layers && step[at(end)] >= kInRun) ++end;
    double largest_step = 0, largest_part = 0;
    for (Index i = begin; i < end; ++i) {
      largest_step = std::max(largest_step, step[at(i)]);
      largest_part = std::max(largest_part, part(i));
    }
    double log_sum = 0, part_sum = 0;
    Index members = 0;
    for (Index i = begin; i < end; ++i) {
      if (step[at(i)] < kLogOfLargest * largest_step && part(i) < kShareOfLargest * largest_part) continue;
      log_sum += step[at(i)];
      part_sum += part(i);
      ++members;
    }
    bool any = false;
    for (Index i = begin; i < end; ++i) {
      StepEvidence evidence;
      evidence.layer = i;
      evidence.log_step = step[at(i)];
      evidence.log_share = step[at(i)] / log_sum;
      evidence.share = part_sum > 0 ? part(i) / part_sum : 0;
      evidence.height = part(i) / std::max(height - 1, 1e-9);
      evidence.run = members;
      evidence.tokens = static_cast<Index>(group.tokens.size());
      evidence.gap = split.separation;
      if (step[at(i)] < kSubstantial && (step[at(i)] < kNoticeable || evidence.height < kHeight)) continue;
      const bool stands_out = members <= short_run
                                  ? std::max(evidence.log_share, evidence.share) >= kHeight
                                  : std::min(evidence.log_share, evidence.share) >= kDominant;
      if (!stands_out) continue;
      Index agreeing = 0;
      for (const Index t : group.tokens)
        agreeing += paths.step(paths.log_norm(t, i - 1), paths.log_norm(t, i), i, sign) >= 0.5 * step[at(i)];
      evidence.agreement = static_cast<double>(agreeing) / static_cast<double>(group.tokens.size());
      found.steps.push_back(evidence);
      any = true;
    }
    // A run that takes the group most of the way without one step that stands out.
    if (!any && members > short_run && part_sum > 0.5 * (height - 1)) found.gradual = true;
    begin = end;
  }
  return found;
}

void merge(const Found& found, bool initial, double sign, std::map<Index, FoundLayer>& layers) {
  for (const StepEvidence& evidence : found.steps) {
    const double confidence = step_confidence(evidence);
    if (confidence < kReported) continue;
    FoundLayer& layer = layers[evidence.layer];
    if (confidence > layer.confidence) {
      layer.confidence = confidence;
      layer.factor = std::exp(sign * evidence.log_step);
    }
    layer.layer = evidence.layer;
    (initial ? layer.initial : layer.non_initial) = true;
  }
}

}  // namespace

double step_confidence(const StepEvidence& evidence) {
  const double dominance = std::max(evidence.log_share, evidence.share);
  const double margin = -4.0 + 2.0 * std::min(evidence.log_step / kSubstantial, 2.5) + 2.0 * dominance +
                        3.0 * (evidence.agreement - 0.5) + 1.5 * std::min(evidence.gap, 1.5);
  return 1 / (1 + std::exp(-margin));
}

LifeCycle find_life_cycle(const NormTable& table, const HighNormSplit& split) {
  LifeCycle result;
  if (!split.found) return result;
  Trajectories paths{table, ordinary_medians(table)};
  for (double& value : paths.ordinary) value = std::log(std::max(value, 1e-30));
  std::map<Index, FoundLayer> explosion, decay;
  for (const Group& group : group_tokens(paths, split)) {
    const Found gains = abrupt_steps(paths, split, group, 1);
    const Found losses = abrupt_steps(paths, split, group, -1);
    merge(gains, group.initial, 1, explosion);
    merge(losses, group.initial, -1, decay);
    result.gradual_growth = result.gradual_growth || gains.gradual;
    result.gradual_decay = result.gradual_decay || losses.gradual;
  }
  for (const auto& [layer, found] : explosion) result.explosion.push_back(found);
  for (const auto& [layer, found] : decay) result.decay.push_back(found);
  return result;
}

}  // namespace defectoscope
