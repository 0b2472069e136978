#include "analysis/threshold.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "analysis/at.h"
#include "base/median.h"

namespace defectoscope {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kTolerated = 0.03;    // of the special states, may lie in the gap on either side
constexpr double kMostSpecial = 0.45;  // of all tokens
const double kLeastGap = std::log(1.5);
const double kLeastRatio = std::log(1.8);
constexpr double kLeastEvidence = 20;     // k g / τ
constexpr double kLeastTailScale = 0.03;  // τ of perfectly equal norms
constexpr double kOfWidest = 0.35;        // a lower gap counts from this share of the widest on

/// The two populations of one layer, if it has them.
struct LayerSplit {
  double gap = 0;        // natural logarithm, 0: none
  double log_split = 0;  // relative to the median
  double evidence = 0;   // k g / τ
};

/// `ratios`: logarithms of norm / median, descending.
LayerSplit split_layer(const std::vector<float>& ratios) {
  const auto n = static_cast<Index>(ratios.size());
  const auto most = static_cast<Index>(kMostSpecial * static_cast<double>(n));
  const auto tolerated = [](Index k) { return static_cast<Index>(kTolerated * static_cast<double>(k)); };
  const auto gap_below = [&](Index k) {
    const Index t = tolerated(k);
    return static_cast<double>(ratios[at(k - 1 - t)]) - ratios[at(std::min(n - 1, k + t))];
  };
  const auto evidence_at = [&](Index k, double gap) {
    const Index rest = n - k;
    const double tail =
        (ratios[at(k + rest / 100)] - ratios[at(std::min(n - 1, k + rest / 10))]) / std::log(10.0);
    return static_cast<double>(k) * gap / std::max(tail, kLeastTailScale);
  };
  double widest = 0;
  for (Index k = 1; k <= most; ++k) {
    if (ratios[at(k - 1 - tolerated(k))] < kLeastRatio) break;
    const double gap = gap_below(k);
    if (gap > widest && evidence_at(k, gap) >= kLeastEvidence) widest = gap;
  }
  if (widest < kLeastGap) return {};
  const double least = std::max(kLeastGap, kOfWidest * widest);
  // The lowest gap of that width: the last k that has one, then the best of its neighbourhood.
  Index last = 0;
  for (Index k = 1; k <= most; ++k) {
    if (ratios[at(k - 1 - tolerated(k))] < kLeastRatio) break;
    const double gap = gap_below(k);
    if (gap >= least && evidence_at(k, gap) >= kLeastEvidence) last = k;
  }
  Index best = last;
  for (Index k = last; k >= 1 && gap_below(k) >= least; --k)
    if (gap_below(k) > gap_below(best)) best = k;
  // Inside the tolerated stretch the parting line is the widest step between two neighbours.
  Index cut = best;
  const Index t = tolerated(best);
  for (Index k = std::max<Index>(1, best - t); k <= std::min(n - 1, best + t); ++k)
    if (ratios[at(k - 1)] - ratios[at(k)] > ratios[at(cut - 1)] - ratios[at(cut)]) cut = k;
  LayerSplit result;
  result.gap = gap_below(best);
  result.log_split = 0.5 * (static_cast<double>(ratios[at(cut - 1)]) + ratios[at(cut)]);
  result.evidence = evidence_at(best, result.gap);
  return result;
}

/// Counts of norms in steps of 2^(1/64), so that pooling all layers costs no sort.
class LogHistogram {
 public:
  static constexpr int kPerOctave = 64;
  static constexpr int kBins = 96 * kPerOctave;
  static double edge(int bin) { return std::exp2(static_cast<double>(bin) / kPerOctave - 48.0); }
  void add(double norm) {
    const double bin = norm > 0 ? (std::log2(norm) + 48.0) * kPerOctave : 0;
    ++counts_[static_cast<std::size_t>(std::clamp(bin, 0.0, static_cast<double>(kBins - 1)))];
  }
  Index count(int bin) const { return counts_[static_cast<std::size_t>(bin)]; }

 private:
  std::array<Index, kBins> counts_{};
};

/// Two significant digits where that stays between the bounds.
double rounded(double low, double middle, double high) {
  const double unit = std::pow(10.0, std::floor(std::log10(middle)) - 1);
  const double round = std::round(middle / unit) * unit;
  return round > low && round < high ? round : middle;
}

void choose_threshold(const LogHistogram& ordinary, const LogHistogram& special, Index special_states,
                      HighNormSplit& result) {
  Index ordinary_above = 0;
  for (int bin = 0; bin < LogHistogram::kBins; ++bin) ordinary_above += ordinary.count(bin);
  Index special_below = 0;
  std::vector<double> error(LogHistogram::kBins);
  for (int bin = 0; bin < LogHistogram::kBins; ++bin) {  // the threshold at the bin's lower edge
    error[static_cast<std::size_t>(bin)] =
        static_cast<double>(ordinary_above + special_below) / static_cast<double>(special_states);
    ordinary_above -= ordinary.count(bin);
    special_below += special.count(bin);
  }
  const double least = *std::min_element(error.begin(), error.end());
  int first = 0, width = 0;
  for (int bin = 0; bin < LogHistogram::kBins;) {
    int end = bin;
    while (end < LogHistogram::kBins && error[static_cast<std::size_t>(end)] <= least + 0.01) ++end;
    if (end - bin > width) {
      first = bin;
      width = end - bin;
    }
    bin = end + 1;
  }
  const double low = LogHistogram::edge(first), high = LogHistogram::edge(first + width - 1);
  result.threshold = width > 1 ? rounded(low, std::sqrt(low * high), high) : low;
  result.misplaced = least;
}

}  // namespace

std::vector<double> ordinary_medians(const NormTable& table) {
  const Index tokens = table.tokens.size();
  Index later = 0;
  for (const auto position : table.tokens.position) later += position > 0;
  const bool later_only = later * 4 >= tokens;
  std::vector<double> medians;
  std::vector<float> values;
  for (const auto& norms : table.norms) {
    values.clear();
    for (Index t = 0; t < tokens; ++t)
      if (!later_only || table.tokens.position[at(t)] > 0) values.push_back(norms[at(t)]);
    medians.push_back(median(values));
  }
  return medians;
}

HighNormSplit find_high_norms(const NormTable& table) {
  const Index tokens = table.tokens.size();
  HighNormSplit result;
  result.special.assign(at(tokens), 0);
  result.split.assign(table.norms.size(), kInfinity);
  if (tokens < 2) return result;
  const std::vector<double> medians = ordinary_medians(table);
  std::vector<double> gaps;
  std::vector<float> ratios;
  for (std::size_t layer = 0; layer < table.norms.size(); ++layer) {
    if (!(medians[layer] > 0)) continue;
    ratios.clear();
    for (const float norm : table.norms[layer])
      ratios.push_back(static_cast<float>(std::log(std::max<double>(norm, 1e-30) / medians[layer])));
    std::sort(ratios.begin(), ratios.end(), std::greater<>());
    const LayerSplit split = split_layer(ratios);
    if (split.gap <= 0) continue;
    result.split[layer] = std::exp(split.log_split);
    gaps.push_back(split.gap);
  }
  if (gaps.empty()) return result;
  std::sort(gaps.begin(), gaps.end());
  result.separation = gaps[gaps.size() / 2];
  for (std::size_t layer = 0; layer < table.norms.size(); ++layer)
    for (Index t = 0; t < tokens; ++t)
      if (table.norms[layer][at(t)] > result.split[layer] * medians[layer]) result.special[at(t)] = 1;

  LogHistogram ordinary, special;
  Index special_states = 0;
  for (std::size_t layer = 0; layer < table.norms.size(); ++layer)
    for (Index t = 0; t < tokens; ++t) {
      const double norm = table.norms[layer][at(t)];
      if (norm > result.split[layer] * medians[layer]) {
        special.add(norm);
        ++special_states;
      } else if (!result.special[at(t)] || std::isfinite(result.split[layer])) {
        ordinary.add(norm);
      }
    }
  choose_threshold(ordinary, special, special_states, result);
  result.found = true;
  result.confidence = (1 - std::min(1.0, result.misplaced)) / (1 + std::exp(-6 * (result.separation - 0.55)));
  return result;
}

HighNormSplit split_at(const NormTable& table, double threshold) {
  HighNormSplit result;
  result.threshold = threshold;
  result.confidence = 1;
  result.special.assign(at(table.tokens.size()), 0);
  const std::vector<double> medians = ordinary_medians(table);
  for (std::size_t layer = 0; layer < table.norms.size(); ++layer) {
    bool any = false;
    for (Index t = 0; t < table.tokens.size(); ++t)
      if (table.norms[layer][at(t)] > threshold) {
        result.special[at(t)] = 1;
        any = true;
      }
    result.split.push_back(any && medians[layer] > 0 ? threshold / medians[layer] : kInfinity);
    result.found = result.found || any;
  }
  return result;
}

}  // namespace defectoscope
