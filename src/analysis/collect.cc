#include "analysis/collect.h"

#include <algorithm>
#include <numeric>

#include "analysis/at.h"
#include "analysis/journal.h"
#include "base/median.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "base/random.h"
#include "kernels/pointwise.h"

namespace defectoscope {
namespace {

constexpr double kCandidateRatio = 2.5;  // to the layer's median, while no threshold is known

std::vector<float> row_norms(ConstMatrixView states) {
  std::vector<float> norms(at(states.rows()));
  parallel_ranges(states.rows(), 64, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) norms[at(i)] = static_cast<float>(norm(states.row(i)));
  });
  return norms;
}

class Keeper final : public Observer {
 public:
  Keeper(BatchStates& states, const KeepRule& rule) : states_(states), rule_(rule) {}

  void on_states(Index layer_index, Tap tap, const Batch& batch, MatrixView states) override {
    if (tap != Tap::kEmbedding && tap != Tap::kAfterLayer) return;
    check_interrupt();
    const Index layer = layer_index + 1;
    states_.table.norms.push_back(row_norms(states));
    const auto& norms = states_.table.norms.back();
    double least = rule_.threshold;
    if (least <= 0) least = kCandidateRatio * median(norms);
    std::vector<Index> chosen;
    for (Index i = 0; i < batch.rows(); ++i)
      if (norms[at(i)] > least) chosen.push_back(i);
    // An even share of the batch's allowance, so that no layer crowds out the rest.
    const Index layers = std::max<Index>(1, rule_.most / (layers_ + 1));
    if (static_cast<Index>(chosen.size()) > layers) {
      std::stable_sort(chosen.begin(), chosen.end(),
                       [&](Index a, Index b) { return norms[at(a)] > norms[at(b)]; });
      chosen.resize(at(layers));
      std::sort(chosen.begin(), chosen.end());
    }
    for (const Index i : chosen) {
      states_.layer.push_back(static_cast<std::int32_t>(layer));
      states_.token.push_back(static_cast<std::int32_t>(i));
      const auto row = states.row(i);
      states_.vectors.insert(states_.vectors.end(), row.begin(), row.end());
    }
  }
  bool wants_attention() const override { return true; }
  void on_attention(Index, const Batch&, std::span<const float> received) override {
    states_.table.attention.emplace_back(received.begin(), received.end());
  }
  void set_layers(Index layers) { layers_ = layers; }

 private:
  BatchStates& states_;
  const KeepRule& rule_;
  Index layers_ = 1;
};

/// Second pass over a batch: the states that the first did not keep.
class Completer final : public Observer {
 public:
  /// `wanted[layer]`: (token, kept as a vector too).
  Completer(const std::vector<std::vector<std::pair<Index, bool>>>& wanted, HighStatesResult& result,
            std::vector<float>& vectors)
      : wanted_(wanted), result_(result), vectors_(vectors) {}
  void on_states(Index layer_index, Tap tap, const Batch&, MatrixView states) override {
    if (tap != Tap::kEmbedding && tap != Tap::kAfterLayer) return;
    check_interrupt();
    for (const auto& [token, keep] : wanted_[at(layer_index + 1)]) {
      const auto row = states.row(token);
      for (std::size_t c = 0; c < row.size(); ++c) result_.sum[c] += row[c];
      if (keep) vectors_.insert(vectors_.end(), row.begin(), row.end());
    }
  }

 private:
  const std::vector<std::vector<std::pair<Index, bool>>>& wanted_;
  HighStatesResult& result_;
  std::vector<float>& vectors_;
};

}  // namespace

BatchStates collect_batch(const Transformer& transformer, std::vector<TokenIds> rows, const KeepRule& rule) {
  BatchStates states;
  for (const TokenIds& row : rows) states.table.tokens.append_row(row);
  Keeper keeper(states, rule);
  keeper.set_layers(transformer.model().config().layers);
  transformer.run(Batch(rows), keeper);
  states.rows = std::move(rows);
  return states;
}

std::string to_record(const BatchStates& states) {
  RecordWriter record;
  record.value(states.rows.size());
  for (const TokenIds& row : states.rows) record.list(row);
  record.value(states.table.norms.size());
  for (const auto& norms : states.table.norms) record.list(norms);
  record.value(states.table.attention.size());
  for (const auto& attention : states.table.attention) record.list(attention);
  record.list(states.layer);
  record.list(states.token);
  record.list(states.vectors);
  return record.bytes();
}

BatchStates batch_from_record(const std::string& bytes) {
  RecordReader record(bytes);
  BatchStates states;
  for (auto rows = record.value<std::size_t>(); rows > 0; --rows)
    states.rows.push_back(record.list<std::int32_t>());
  for (const TokenIds& row : states.rows) states.table.tokens.append_row(row);
  for (auto layers = record.value<std::size_t>(); layers > 0; --layers)
    states.table.norms.push_back(record.list<float>());
  for (auto layers = record.value<std::size_t>(); layers > 0; --layers)
    states.table.attention.push_back(record.list<float>());
  states.layer = record.list<std::int32_t>();
  states.token = record.list<std::int32_t>();
  states.vectors = record.list<float>();
  return states;
}

void Collection::add(BatchStates&& batch) {
  for (const TokenIds& row : batch.rows) table_.tokens.append_row(row);
  table_.norms.resize(batch.table.norms.size());
  for (std::size_t i = 0; i < table_.norms.size(); ++i)
    table_.norms[i].insert(table_.norms[i].end(), batch.table.norms[i].begin(), batch.table.norms[i].end());
  table_.attention.resize(batch.table.attention.size());
  for (std::size_t i = 0; i < table_.attention.size(); ++i)
    table_.attention[i].insert(table_.attention[i].end(), batch.table.attention[i].begin(),
                               batch.table.attention[i].end());
  first_token_.push_back(table_.tokens.size());
  vector_bytes_ += static_cast<Index>(batch.vectors.size() * sizeof(float));
  batches_.push_back(
      {std::move(batch.rows), std::move(batch.layer), std::move(batch.token), std::move(batch.vectors)});
}

Index Collection::first_token(Index b) const { return first_token_[at(b)]; }

std::vector<double> Collection::sum_above(double threshold, Index end, Index& count) const {
  std::vector<double> sum(at(hidden_size_), 0.0);
  count = 0;
  for (Index b = 0; b < end; ++b) {
    const Kept& batch = batches_[at(b)];
    for (std::size_t i = 0; i < batch.layer.size(); ++i) {
      const auto token = at(first_token_[at(b)] + batch.token[i]);
      if (table_.norms[static_cast<std::size_t>(batch.layer[i])][token] <= threshold) continue;
      const float* vector = batch.vectors.data() + i * at(hidden_size_);
      for (std::size_t c = 0; c < sum.size(); ++c) sum[c] += vector[c];
      ++count;
    }
  }
  return sum;
}

HighStatesResult HighStates::gather(double threshold, Index most) const {
  const NormTable& table = collection_.table();
  const Index size = collection_.hidden_size_;
  HighStatesResult result;
  result.sum.assign(at(size), 0.0);
  for (const auto& norms : table.norms)
    for (const float norm : norms) result.count += norm > threshold;
  const double share =
      result.count > most ? static_cast<double>(most) / static_cast<double>(result.count) : 1.0;
  const Index tokens = table.tokens.size();
  const auto drawn = [&](Index layer, Index token) {
    if (share >= 1) return true;
    const auto word =
        philox(seed_, stream_of("high states"), static_cast<std::uint64_t>(layer * tokens + token))[0];
    return static_cast<double>(word) < share * 4294967296.0;
  };

  std::vector<float> vectors;
  vectors.reserve(at(std::min(result.count, most + most / 16) * size));
  Progress progress("Gathering high-norm states", collection_.batches());
  for (Index b = 0; b < collection_.batches(); ++b) {
    auto& batch = collection_.batches_[at(b)];
    const Index first = collection_.first_token(b), end = collection_.first_token(b + 1);
    // Kept states come by layer, then token: walk them beside the table.
    std::vector<std::vector<std::pair<Index, bool>>> missing(table.norms.size());
    bool any_missing = false;
    std::size_t kept = 0;
    for (std::size_t layer = 0; layer < table.norms.size(); ++layer)
      for (Index t = first; t < end; ++t) {
        const bool is_kept = kept < batch.layer.size() &&
                             static_cast<std::size_t>(batch.layer[kept]) == layer &&
                             batch.token[kept] == t - first;
        const float* vector = batch.vectors.data() + kept * at(size);
        kept += is_kept;
        if (table.norms[layer][at(t)] <= threshold) continue;
        const bool keep = drawn(static_cast<Index>(layer), t);
        if (!is_kept) {
          missing[layer].emplace_back(t - first, keep);
          any_missing = true;
          continue;
        }
        for (std::size_t c = 0; c < at(size); ++c) result.sum[c] += vector[c];
        if (keep) vectors.insert(vectors.end(), vector, vector + size);
      }
    batch.vectors = {};
    if (any_missing) {
      progress.expect();
      Completer completer(missing, result, vectors);
      transformer_.run(Batch(batch.rows), completer);
    }
    progress.advance();
  }
  collection_.vector_bytes_ = 0;
  result.vectors = std::move(vectors);
  return result;
}

}  // namespace defectoscope
