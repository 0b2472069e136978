#include "model/router.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

namespace defectoscope {
namespace {

std::vector<double> scores_of(RouterScore kind, std::span<const float> logits) {
  std::vector<double> scores(logits.begin(), logits.end());
  if (kind == RouterScore::kSigmoid) {
    for (double& score : scores) score = 1 / (1 + std::exp(-score));
    return scores;
  }
  const double top = *std::ranges::max_element(scores);
  double sum = 0;
  for (double& score : scores) sum += score = std::exp(score - top);
  for (double& score : scores) score /= sum;
  return scores;
}

/// The `count` places of largest value, best first, ties to the lower place.
std::vector<Index> largest(std::span<const double> values, Index count) {
  std::vector<Index> order(values.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<Index>(i);
  std::partial_sort(order.begin(), order.begin() + count, order.end(), [&](Index a, Index b) {
    const double x = values[static_cast<std::size_t>(a)], y = values[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  });
  order.resize(static_cast<std::size_t>(count));
  return order;
}

/// Takes the experts outside the best groups out of the choice.
void keep_best_groups(const ExpertConfig& config, GroupScore kind, std::vector<double>& choice) {
  const auto size = static_cast<std::size_t>(config.experts / config.groups);
  std::vector<double> groups;
  for (std::size_t first = 0; first < choice.size(); first += size) {
    const std::span<const double> group = std::span<const double>(choice).subspan(first, size);
    double score = 0;
    const Index count = kind == GroupScore::kLargest ? 1 : std::min<Index>(2, std::ssize(group));
    for (const Index place : largest(group, count)) score += group[static_cast<std::size_t>(place)];
    groups.push_back(score);
  }
  std::vector<bool> kept(groups.size(), false);
  for (const Index group : largest(groups, config.chosen_groups))
    kept[static_cast<std::size_t>(group)] = true;
  for (std::size_t i = 0; i < choice.size(); ++i)
    if (!kept[i / size]) choice[i] = -std::numeric_limits<double>::infinity();
}

}  // namespace

std::vector<RoutedExpert> route(const ModelConfig& config, std::span<const float> logits,
                                std::span<const float> selection_bias) {
  const ExpertConfig& experts = config.experts;
  const ExpertSpec& spec = config.architecture->experts;
  assert(std::ssize(logits) == experts.experts);
  const std::vector<double> scores = scores_of(spec.score, logits);
  std::vector<double> choice = scores;
  for (std::size_t i = 0; i < selection_bias.size(); ++i) choice[i] += static_cast<double>(selection_bias[i]);
  if (experts.groups > 1) keep_best_groups(experts, spec.group_score, choice);
  std::vector<Index> chosen = largest(choice, experts.chosen);
  std::ranges::sort(chosen);
  std::vector<RoutedExpert> routed;
  double sum = 0;
  for (const Index expert : chosen) {
    routed.push_back({expert, scores[static_cast<std::size_t>(expert)]});
    sum += routed.back().weight;
  }
  const double scale = experts.scale / (experts.normalized && sum > 0 ? sum : 1);
  for (RoutedExpert& one : routed) one.weight *= scale;
  return routed;
}

}  // namespace defectoscope
