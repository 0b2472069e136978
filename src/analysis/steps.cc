#include "analysis/steps.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "analysis/at.h"
#include "base/median.h"

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
constexpr double kOfClass = 0.05;  // a group's least share of its class (first or later tokens) ...
constexpr double kOfAll = 0.01;    // ... and of all special tokens, where there are
constexpr Index kMany = 100;       // that many
constexpr double kFewest = 3;

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
  const Index all = sizes[0] + sizes[1];
  for (auto& [key, tokens] : groups) {
    // A few strays are noise beside many; where there are only a few, they are all there is.
    const auto count = static_cast<double>(tokens.size());
    if (count < kOfClass * static_cast<double>(sizes[key.first])) continue;
    if (all >= kMany && (count < kFewest || count < kOfAll * static_cast<double>(all))) continue;
    result.push_back({key.first, std::move(tokens)});
  }
  return result;
}

/// Abrupt steps of one sign along a group's median trajectory, added to `found`.
void add_steps(const Trajectories& paths, const HighNormSplit& split, const Group& group, double sign,
               Steps& found) {
  const Index layers = paths.table.layers();
  std::vector<double> median(at(layers + 1)), ratio(at(layers + 1)), step(at(layers + 1));
  for (Index layer = 0; layer <= layers; ++layer) {
    std::vector<double> values;
    for (const Index t : group.tokens) values.push_back(paths.log_norm(t, layer));
    median[at(layer)] = defectoscope::median(std::move(values));
    ratio[at(layer)] = std::exp(median[at(layer)] - paths.ordinary[at(layer)]);
    if (layer > 0) step[at(layer)] = paths.step(median[at(layer - 1)], median[at(layer)], layer, sign);
  }
  const double height = *std::max_element(ratio.begin(), ratio.end());
  const Index short_run = std::max(kShortRun, layers / 10);
  // What a step adds to (takes from) the ratio; only where the step itself has the sign.
  const auto part = [&](Index layer) {
    return std::max(0.0, sign * (ratio[at(layer)] - ratio[at(layer - 1)]));
  };
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
      evidence.initial = group.initial;
      if (step[at(i)] < kSubstantial && (step[at(i)] < kNoticeable || evidence.height < kHeight)) continue;
      const bool stands_out = members <= short_run
                                  ? std::max(evidence.log_share, evidence.share) >= kHeight
                                  : std::min(evidence.log_share, evidence.share) >= kDominant;
      if (!stands_out) continue;
      Index agreeing = 0;
      for (const Index t : group.tokens)
        agreeing += paths.step(paths.log_norm(t, i - 1), paths.log_norm(t, i), i, sign) >= 0.5 * step[at(i)];
      evidence.agreement = static_cast<double>(agreeing) / static_cast<double>(group.tokens.size());
      found.abrupt.push_back(evidence);
      any = true;
    }
    // A run that takes the group most of the way without one step that stands out.
    if (!any && members > short_run && part_sum > 0.5 * (height - 1)) found.gradual = true;
    begin = end;
  }
}

}  // namespace

GainsAndLosses find_steps(const NormTable& table, const HighNormSplit& split) {
  GainsAndLosses result;
  if (!split.found) return result;
  Trajectories paths{table, ordinary_medians(table)};
  for (double& value : paths.ordinary) value = std::log(std::max(value, 1e-30));
  for (const Group& group : group_tokens(paths, split)) {
    add_steps(paths, split, group, 1, result.gains);
    add_steps(paths, split, group, -1, result.losses);
  }
  return result;
}

}  // namespace defectoscope
