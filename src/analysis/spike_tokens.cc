#include "analysis/spike_tokens.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "analysis/at.h"
#include "base/median.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {
namespace {

constexpr double kStray = 0.05;  // of an entry's occurrences

/// Sums over the occurrences of one entry.
struct Entry {
  SpikeToken token;
  Index later = 0, first_occurrences = 0;
  Index with_attention = 0;
};

bool is_last_of_row(const TokenTable& tokens, Index t) {
  return t + 1 == tokens.size() || tokens.position[at(t + 1)] == 0;
}

}  // namespace

std::vector<std::uint8_t> high_norm_occurrences(const NormTable& table, const HighNormSplit& split) {
  std::vector<std::uint8_t> high(at(table.tokens.size()), 0);
  if (!split.found) return high;
  for (const auto& norms : table.norms)
    for (Index t = 0; t < table.tokens.size(); ++t)
      if (split.special[at(t)] && norms[at(t)] > split.threshold) high[at(t)] = 1;
  return high;
}

std::vector<SpikeToken> spike_tokens(const NormTable& table, const std::vector<std::uint8_t>& high,
                                     const Tokenizer& tokenizer) {
  const TokenTable& tokens = table.tokens;
  std::map<std::int32_t, Entry> entries;
  for (Index t = 0; t < tokens.size(); ++t)
    if (high[at(t)]) entries[tokens.id[at(t)]];
  std::set<std::int32_t> seen;  // in this row
  for (Index t = 0; t < tokens.size(); ++t) {
    if (tokens.position[at(t)] == 0) seen.clear();
    const std::int32_t id = tokens.id[at(t)];
    const bool first_occurrence = seen.insert(id).second;
    const auto found = entries.find(id);
    if (found == entries.end()) continue;
    Entry& entry = found->second;
    ++entry.token.occurrences;
    if (!high[at(t)]) continue;
    SpikeToken& token = entry.token;
    ++token.count;
    if (tokens.initial[at(t)]) {
      token.initial = true;
    } else {
      token.non_initial = true;
      ++entry.later;
      entry.first_occurrences += first_occurrence;
    }
    token.norm_by_layer.resize(table.norms.size());
    for (std::size_t layer = 0; layer < table.norms.size(); ++layer) {
      token.norm_by_layer[layer] += table.norms[layer][at(t)];
      token.peak_norm = std::max<double>(token.peak_norm, table.norms[layer][at(t)]);
    }
    token.attention_share_by_layer.resize(table.attention.size());
    if (is_last_of_row(tokens, t)) continue;
    ++entry.with_attention;
    for (std::size_t layer = 0; layer < table.attention.size(); ++layer)
      token.attention_share_by_layer[layer] += table.attention[layer][at(t)];
  }
  std::vector<SpikeToken> result;
  for (auto& [id, entry] : entries) {
    SpikeToken& token = entry.token;
    if (static_cast<double>(token.count) < kStray * static_cast<double>(token.occurrences)) continue;
    token.id = id;
    token.token = readable_token(tokenizer.token(id));
    for (double& norm : token.norm_by_layer) norm /= static_cast<double>(token.count);
    for (double& share : token.attention_share_by_layer)
      share /= static_cast<double>(std::max<Index>(1, entry.with_attention));
    if (entry.later > 0)
      token.first_occurrence_share =
          static_cast<double>(entry.first_occurrences) / static_cast<double>(entry.later);
    result.push_back(std::move(token));
  }
  std::stable_sort(result.begin(), result.end(),
                   [](const SpikeToken& a, const SpikeToken& b) { return a.count > b.count; });
  return result;
}

std::vector<LayerNorms> layer_norms(const NormTable& table) {
  std::vector<LayerNorms> result;
  for (std::size_t layer = 0; layer < table.norms.size(); ++layer) {
    std::vector<float> sorted = table.norms[layer], initial;
    for (Index t = 0; t < table.tokens.size(); ++t)
      if (table.tokens.position[at(t)] == 0) initial.push_back(table.norms[layer][at(t)]);
    std::sort(sorted.begin(), sorted.end());
    std::sort(initial.begin(), initial.end());
    const auto quantile = [](const std::vector<float>& values, double q) {
      return values.empty()
                 ? 0.0
                 : values[static_cast<std::size_t>(std::lround(q * static_cast<double>(values.size() - 1)))];
    };
    LayerNorms norms;
    norms.layer = static_cast<Index>(layer);
    norms.median = quantile(sorted, 0.5);
    norms.p90 = quantile(sorted, 0.9);
    norms.p99 = quantile(sorted, 0.99);
    norms.max = quantile(sorted, 1);
    norms.initial_median = quantile(initial, 0.5);
    result.push_back(norms);
  }
  return result;
}

double median_peak_ratio(const NormTable& table, const std::vector<std::uint8_t>& high) {
  const std::vector<double> ordinary = ordinary_medians(table);
  std::vector<double> peaks;
  for (Index t = 0; t < table.tokens.size(); ++t) {
    if (!high[at(t)]) continue;
    double peak = 0;
    for (std::size_t layer = 0; layer < table.norms.size(); ++layer)
      if (ordinary[layer] > 0) peak = std::max(peak, table.norms[layer][at(t)] / ordinary[layer]);
    peaks.push_back(peak);
  }
  return median(std::move(peaks));
}

}  // namespace defectoscope
