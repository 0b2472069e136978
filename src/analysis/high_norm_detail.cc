#include "analysis/high_norm_detail.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "analysis/angle.h"
#include "analysis/at.h"
#include "analysis/norm_table.h"
#include "analysis/record_fields.h"
#include "base/progress.h"
#include "kernels/pointwise.h"

namespace defectoscope {
namespace {

constexpr std::size_t kTopDimensions = 10;

/// Sums of high-norm states, by layer and by where they stand; norms of every token.
class DirectionSums final : public Observer {
 public:
  DirectionSums(double threshold, Index layers, Index size)
      : threshold_(threshold), sums(at(layers + 1), std::vector<double>(at(size))), counts(at(layers + 1)) {
    for (auto& group : groups) group.assign(at(size), 0.0);
  }
  void begin(const std::vector<TokenIds>& rows) {
    table_ = {};
    for (const TokenIds& row : rows) table_.append_row(row);
    peaks.assign(at(table_.size()), 0.0);
  }
  void on_states(Index layer_index, Tap tap, const Batch&, MatrixView states) override {
    if (tap != Tap::kEmbedding && tap != Tap::kAfterLayer) return;
    for (Index i = 0; i < states.rows(); ++i) {
      const auto row = states.row(i);
      const double length = norm(row);
      peaks[at(i)] = std::max(peaks[at(i)], length);
      if (length <= threshold_) continue;
      const std::size_t group = table_.initial[at(i)] ? 0 : 1;
      auto& sum = sums[at(layer_index + 1)];
      for (std::size_t c = 0; c < row.size(); ++c) {
        sum[c] += row[c];
        groups[group][c] += row[c];
      }
      ++counts[at(layer_index + 1)];
      ++group_counts[group];
    }
  }
  const TokenTable& table() const { return table_; }

 private:
  double threshold_;
  TokenTable table_;

 public:
  std::vector<std::vector<double>> sums;
  std::vector<Index> counts;
  std::vector<double> groups[2];  // initial, non-initial
  Index group_counts[2] = {0, 0};
  std::vector<double> peaks;  // [tokens of the batch] largest norm over layers
};

/// What the pass has gathered after some batches.
struct PassSoFar {
  DirectionSums& sums;
  std::map<std::int32_t, OccurrenceNorms>& tokens;
  HighNormDetail& result;
};
constexpr auto kEachOfPass = [](auto& pass, const auto& field) {
  field(pass.result.rows);
  field(pass.result.tokens);
  field(pass.sums.sums);
  field(pass.sums.counts);
  for (const std::size_t group : {std::size_t{0}, std::size_t{1}}) {
    field(pass.sums.groups[group]);
    field(pass.sums.group_counts[group]);
  }
  // The tokens are the scan's; what was counted of them is the pass's.
  for (auto& [id, norms] : pass.tokens) {
    field(norms.first);
    field(norms.later);
    field(norms.first_peak);
    field(norms.later_peak);
  }
};

/// First and later occurrences of the spike tokens away from the first position.
void add_occurrences(const DirectionSums& sums, std::map<std::int32_t, OccurrenceNorms>& tokens) {
  const TokenTable& table = sums.table();
  std::map<std::int32_t, std::int32_t> seen_in_row;  // token id → last row it was seen in
  for (Index t = 0; t < table.size(); ++t) {
    const auto found = tokens.find(table.id[at(t)]);
    if (found == tokens.end()) continue;
    const auto [last, fresh] = seen_in_row.try_emplace(found->first, table.row[at(t)]);
    const bool first = fresh || last->second != table.row[at(t)];
    last->second = table.row[at(t)];
    if (table.initial[at(t)]) continue;
    OccurrenceNorms& norms = found->second;
    ++(first ? norms.first : norms.later);
    (first ? norms.first_peak : norms.later_peak) += sums.peaks[at(t)];
  }
}

std::optional<double> angle_between(const std::vector<double>& a, const std::vector<double>& b) {
  const auto x = unit_direction(a), y = unit_direction(b);
  if (x.empty() || y.empty()) return std::nullopt;
  return acute_angle_degrees(x, y);
}

}  // namespace

std::vector<TopDimension> top_dimensions(const std::vector<float>& direction) {
  std::vector<TopDimension> all;
  for (std::size_t i = 0; i < direction.size(); ++i)
    all.push_back({static_cast<Index>(i), direction[i], double{direction[i]} * direction[i]});
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.share > b.share; });
  if (all.size() > kTopDimensions) all.resize(kTopDimensions);
  return all;
}

HighNormDetail high_norm_detail(const Transformer& transformer,
                                const std::vector<std::vector<TokenIds>>& batches, const ScanResult& scan,
                                ScanJournal& journal, const GatheredBeside& beside) {
  const bool high = scan.high_norm.count > 0;
  DirectionSums sums(high ? scan.high_norm.threshold : std::numeric_limits<double>::infinity(), scan.layers,
                     scan.hidden_size);
  std::map<std::int32_t, OccurrenceNorms> tokens;
  for (const SpikeToken& token : scan.high_norm.tokens)
    if (token.non_initial) tokens[token.id] = {.id = token.id, .token = token.token};

  HighNormDetail result;
  PassSoFar pass{sums, tokens, result};
  const std::string name = fmt::format("high-norm-of-{}", batches.size());
  std::size_t done = 0;
  if (const auto kept = journal.get(name)) {
    RecordReader record(*kept);
    done = record.value<std::size_t>();
    kEachOfPass(pass, ReadField{record});
    if (beside.read) beside.read(record);
  }
  Progress progress("Looking at high-norm states", static_cast<Index>(batches.size() - done));
  for (; done < batches.size(); ++done) {
    check_interrupt();
    const std::vector<TokenIds>& rows = batches[done];
    sums.begin(rows);
    progress.expect();
    transformer.run(Batch(rows), sums);
    add_occurrences(sums, tokens);
    result.rows += std::ssize(rows);
    result.tokens += sums.table().size();
    RecordWriter record;
    record.value(done + 1);
    kEachOfPass(pass, WriteField{record});
    if (beside.write) beside.write(record);
    journal.put(name, record.bytes());
    progress.advance();
  }
  if (!high) return result;

  result.states_by_layer = sums.counts;
  const std::vector<double> direction = widened(scan.high_norm.direction);
  for (const auto& sum : sums.sums) {
    result.layer_angle_degrees.push_back(
        angle_between(sum, direction).value_or(std::numeric_limits<double>::quiet_NaN()));
    std::vector<double> row;
    for (const auto& other : sums.sums)
      row.push_back(angle_between(sum, other).value_or(std::numeric_limits<double>::quiet_NaN()));
    result.between_layers_degrees.push_back(std::move(row));
  }
  result.initial_states = sums.group_counts[0];
  result.non_initial_states = sums.group_counts[1];
  result.initial_to_non_initial_degrees = angle_between(sums.groups[0], sums.groups[1]);
  for (auto& [id, norms] : tokens) {
    if (norms.first > 0) norms.first_peak /= static_cast<double>(norms.first);
    if (norms.later > 0) norms.later_peak /= static_cast<double>(norms.later);
    if (norms.first + norms.later > 0) result.occurrences.push_back(norms);
  }
  result.top_dimensions = top_dimensions(scan.high_norm.direction);
  return result;
}

}  // namespace defectoscope
