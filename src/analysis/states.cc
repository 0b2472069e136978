#include "analysis/states.h"

#include <fmt/format.h>

#include <algorithm>

#include "analysis/angle.h"
#include "analysis/at.h"
#include "analysis/calibration_rows.h"
#include "analysis/collect.h"
#include "analysis/journal.h"
#include "analysis/landscape.h"
#include "analysis/life_cycle.h"
#include "analysis/pairwise_angle.h"
#include "analysis/spike_tokens.h"
#include "analysis/threshold.h"
#include "base/progress.h"
#include "forward/transformer.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {
namespace {

constexpr Index kLarge = 300'000'000;  // parameters from which calibration stops when it has settled
constexpr double kSettledDegrees = 0.1;
constexpr Index kLeastTokens = 4096;            // before calibration may stop
constexpr Index kEnoughTokens = 16384;          // to say that no token is special
constexpr double kBelowThreshold = 0.6;         // vectors are kept from this share of the threshold so far on
constexpr Index kBatchBytes = Index{64} << 20;  // of vectors kept from one batch
constexpr Index kVectorBytes = Index{512} << 20;  // of vectors kept in all
constexpr Index kMostStates = 50'000;             // in the mean pairwise angle
constexpr Index kProbeTokens = 1024;              // on which decay is measured

HighNormSplit split_of(const NormTable& table, const ScanOptions& options) {
  return options.threshold ? split_at(table, *options.threshold) : find_high_norms(table);
}

/// d̂ over the second half of what was collected is the d̂ of the first half.
bool has_settled(const Collection& collection, double threshold) {
  Index half = 0;
  while (collection.first_token(half) * 2 < collection.table().tokens.size()) ++half;
  Index count_half = 0, count_all = 0;
  const auto first = unit_direction(collection.sum_above(threshold, half, count_half));
  const auto all = unit_direction(collection.sum_above(threshold, collection.batches(), count_all));
  return count_half > 0 && count_all > count_half && acute_angle_degrees(first, all) <= kSettledDegrees;
}

Collection collect(const Transformer& transformer, Calibration& calibration, const ScanOptions& options,
                   const ScanResult& described, ScanJournal& journal) {
  const Index size = described.hidden_size;
  const bool large = described.parameters >= kLarge;
  Collection collection(size);
  KeepRule rule;
  rule.most = kBatchBytes / (size * static_cast<Index>(sizeof(float)));
  if (options.threshold) rule.threshold = *options.threshold;
  Index next_look = 1;
  Progress progress("Running the calibration text", calibration.info().rows_available < options.rows
                                                        ? calibration.info().rows_available
                                                        : options.rows);
  while (true) {
    std::vector<TokenIds> rows = calibration.next_batch();
    if (rows.empty()) break;
    const auto row_count = static_cast<Index>(rows.size());
    const std::string name = fmt::format("states-{:05}", collection.batches());
    if (const auto kept = journal.get(name)) {
      collection.add(batch_from_record(*kept));
      progress.skip(row_count);
    } else {
      progress.expect(row_count);
      BatchStates states = collect_batch(transformer, std::move(rows), rule);
      journal.put(name, to_record(states));
      collection.add(std::move(states));
      progress.advance(row_count);
    }
    if (collection.vector_bytes() > kVectorBytes) rule.most = 0;
    if (!large && collection.batches() != next_look) continue;
    next_look *= 2;
    const HighNormSplit split = split_of(collection.table(), options);
    if (!options.threshold && split.found) rule.threshold = kBelowThreshold * split.threshold;
    if (!large) continue;
    const Index tokens = collection.table().tokens.size();
    if (split.found ? tokens >= kLeastTokens && has_settled(collection, split.threshold)
                    : tokens >= kEnoughTokens) {
      calibration.info().settled_early = true;
      break;
    }
  }
  return collection;
}

/// Rows with high-norm tokens, each up to its last one: what decay is measured on.
std::vector<TokenIds> probe_rows(const NormTable& table, const std::vector<std::uint8_t>& high) {
  std::vector<TokenIds> rows;
  Index tokens = 0;
  TokenIds row;
  std::size_t length = 0;  // of the row, to its last high-norm token
  const auto close = [&] {
    row.resize(length);
    if (!row.empty() && (rows.empty() || tokens + static_cast<Index>(length) <= kProbeTokens)) {
      tokens += static_cast<Index>(length);
      rows.push_back(row);
    }
    row.clear();
    length = 0;
  };
  for (Index t = 0; t < table.tokens.size(); ++t) {
    if (table.tokens.position[at(t)] == 0) close();
    row.push_back(table.tokens.id[at(t)]);
    if (high[at(t)]) length = row.size();
  }
  close();
  return rows;
}

}  // namespace

std::vector<DecayRatio> analyse_states(const Model& model, const Tokenizer& tokenizer,
                                       const ScanOptions& options, ScanJournal& journal, ScanResult& result) {
  TransformerOptions compute;
  compute.compute = options.compute;
  const Transformer transformer(model, compute);
  result.landscape = norm_landscape(transformer, tokenizer);

  Calibration calibration(transformer, tokenizer, calibration_options(options, result.parameters), journal);
  Collection collection = collect(transformer, calibration, options, result, journal);
  result.calibration = calibration.info();
  const NormTable& table = collection.table();
  result.norms = layer_norms(table);

  HighNorm& high = result.high_norm;
  const HighNormSplit split = split_of(table, options);
  high.threshold_given = options.threshold.has_value();
  high.threshold = split.threshold;
  high.threshold_confidence = split.found ? split.confidence : 0;
  if (!split.found) return {};

  const std::vector<std::uint8_t> occurrences = high_norm_occurrences(table, split);
  high.tokens = spike_tokens(table, occurrences, tokenizer);
  high.median_ratio = median_peak_ratio(table, occurrences);
  for (Index t = 0; t < table.tokens.size(); ++t) {
    if (!occurrences[at(t)]) continue;
    ++(table.tokens.initial[at(t)] ? high.initial_occurrences : high.non_initial_occurrences);
  }
  const LifeCycle cycle = find_life_cycle(table, split);
  result.explosion_layers = cycle.explosion;
  result.decay_layers = cycle.decay;
  result.gradual_growth = cycle.gradual_growth;
  result.gradual_decay = cycle.gradual_decay;

  const Index size = result.hidden_size;
  const HighStatesResult states =
      HighStates(transformer, collection, options.seed)
          .gather(split.threshold,
                  std::min(kMostStates, kVectorBytes / (size * static_cast<Index>(sizeof(float)))));
  high.count = states.count;
  high.direction = unit_direction(states.sum);
  high.angle_states = static_cast<Index>(states.vectors.size()) / size;
  high.mean_pairwise_angle_degrees =
      mean_pairwise_angle_degrees(high.angle_states, size, [&](Index first, Index count, MatrixView out) {
        for (Index i = 0; i < count; ++i)
          std::copy_n(states.vectors.data() + (first + i) * size, size, out.row(i).data());
      });
  const std::vector<TokenIds> rows = probe_rows(table, occurrences);
  if (high.direction.empty() || rows.empty()) return {};
  return decay_ratios(transformer, rows, high.direction, split.threshold);
}

}  // namespace defectoscope
