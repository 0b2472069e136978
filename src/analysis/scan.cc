#include "analysis/scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "analysis/angle.h"
#include "analysis/calibration.h"
#include "analysis/collect.h"
#include "analysis/decay.h"
#include "analysis/directions.h"
#include "analysis/journal.h"
#include "analysis/landscape.h"
#include "analysis/layer_record.h"
#include "analysis/life_cycle.h"
#include "analysis/pairwise_angle.h"
#include "analysis/scan_notes.h"
#include "analysis/spike_tokens.h"
#include "base/error.h"
#include "base/files.h"
#include "base/progress.h"
#include "base/sha256.h"
#include "base/version.h"
#include "checkpoint/checkpoint.h"
#include "forward/transformer.h"
#include "kernels/instruction_set.h"
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

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

void check_tokenizer(const Model& model, const Tokenizer& tokenizer) {
  const WeightMatrix embedding = model.embedding();
  if (tokenizer.size() <= embedding.rows) return;
  throw_bad_input(
      {.what = "the tokenizer is larger than the embedding",
       .file = model.folder().string(),
       .tensor = embedding.name,
       .expected = fmt::format("at least {} rows, one for each of the tokenizer's entries", tokenizer.size()),
       .got = fmt::format("{} rows", embedding.rows),
       .hint = "the tokenizer files belong to another model"});
}

ScanResult describe(const Model& model, const ScanOptions& options) {
  const ModelConfig& config = model.config();
  ScanResult result;
  result.model_name = model.name();
  result.family = config.architecture->name;
  result.model_type = config.model_type;
  result.fingerprint = options.fingerprint.empty() ? fingerprint(model.checkpoint()) : options.fingerprint;
  result.layers = config.layers;
  result.hidden_size = config.hidden_size;
  result.heads = config.heads;
  result.kv_heads = config.kv_heads;
  result.ffn_size = config.ffn_size;
  result.vocab_size = config.vocab_size;
  for (const std::string& name : model.checkpoint().names())
    if (const auto tensor = model.checkpoint().find(name)) result.parameters += tensor->elements();
  result.dtype = dtype_name(model.embedding().dtype);
  result.seed = options.seed;
  result.exact = options.exact;
  result.paper_parity = options.linearize.paper_parity;
  result.compute = options.compute == ComputeType::kBF16 ? "bf16" : "f32";
  result.instruction_set = instruction_set();
  result.linearization =
      options.linearize.samples > 0 ? fmt::format("sampled {}", options.linearize.samples) : "closed form";
  return result;
}

/// Everything a finished part depends on.
std::string journal_key(const ScanOptions& options, const ScanResult& described) {
  std::string text_hash;
  if (!options.text.empty()) {
    Sha256 hash;
    hash.update(read_file(options.text));
    text_hash = hash.hex_digest();
  }
  return fmt::format("{} {} {} {} text {} rows {} {} {} seed {} exact {} threshold {} linearize {} {} {} {}",
                     kVersion, described.fingerprint, described.compute, described.instruction_set, text_hash,
                     options.rows, options.max_tokens, options.sample_tokens, options.seed, options.exact,
                     options.threshold.value_or(0), options.linearize.paper_parity,
                     static_cast<int>(options.linearize.covariance), options.linearize.samples,
                     options.linearize.seed);
}

void check_weights(const Model& model, ScanJournal& journal) {
  if (journal.get("weights-finite")) return;
  model.check_finite();
  journal.put("weights-finite", "yes");
}

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
    } else {
      BatchStates states = collect_batch(transformer, std::move(rows), rule);
      journal.put(name, to_record(states));
      collection.add(std::move(states));
    }
    progress.advance(row_count);
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

/// Questions that need the forward pass: landscape, high norms, life cycle, decay of real states.
std::vector<DecayRatio> watch_states(const Model& model, const Tokenizer& tokenizer,
                                     const ScanOptions& options, ScanJournal& journal, ScanResult& result) {
  TransformerOptions compute;
  compute.compute = options.compute;
  const Transformer transformer(model, compute);
  result.landscape = norm_landscape(transformer, tokenizer);

  Calibration calibration(transformer, tokenizer,
                          {.text = options.text,
                           .rows = options.rows,
                           .max_tokens = options.max_tokens,
                           .sample_tokens = options.sample_tokens,
                           .seed = options.seed,
                           .parameters = result.parameters},
                          journal);
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

/// Questions that the weights answer, one layer in flight.
void read_weights(const Model& model, const ScanOptions& options, ScanJournal& journal, ScanResult& result) {
  const DirectionOptions directions{
      .linearize = options.linearize, .exact = options.exact, .seed = options.seed};
  Progress progress("Reading the layers' weights", result.layers);
  for (Index layer = 0; layer < result.layers; ++layer) {
    check_interrupt();
    const std::string name = fmt::format("layer-{:04}", layer + 1);
    if (const auto kept = journal.get(name)) {
      result.layer_reports.push_back(layer_from_record(*kept));
    } else {
      result.layer_reports.push_back(analyse_layer(model, layer, result.high_norm.direction, directions));
      journal.put(name, to_record(result.layer_reports.back()));
    }
    progress.advance();
  }
}

}  // namespace

ScanResult scan(const Model& model, const Tokenizer& tokenizer, const ScanOptions& options,
                ScanJournal& journal) {
  check_tokenizer(model, tokenizer);
  ScanResult result = describe(model, options);
  journal.set_key(journal_key(options, result));
  check_weights(model, journal);
  const std::vector<DecayRatio> decay = watch_states(model, tokenizer, options, journal, result);
  read_weights(model, options, journal, result);
  for (std::size_t i = 0; i < decay.size() && i < result.layer_reports.size(); ++i) {
    result.layer_reports[i].decay_ratio = decay[i].ratio;
    result.layer_reports[i].decay_inputs = decay[i].inputs;
  }
  add_notes(options, result);
  return result;
}

}  // namespace defectoscope
