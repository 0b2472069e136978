#include "analysis/scan.h"

#include <fmt/format.h>

#include "analysis/directions.h"
#include "analysis/journal.h"
#include "analysis/layer_record.h"
#include "analysis/scan_notes.h"
#include "analysis/states.h"
#include "base/error.h"
#include "base/files.h"
#include "base/progress.h"
#include "base/sha256.h"
#include "base/version.h"
#include "checkpoint/checkpoint.h"
#include "kernels/instruction_set.h"
#include "model/model.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {
namespace {

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

/// Everything a finished part depends on.
std::string journal_key(const ScanOptions& options, const ScanResult& described) {
  std::string text_hash;
  if (!options.text.empty()) {
    Sha256 hash;
    hash.update(read_file(options.text));
    text_hash = hash.hex_digest();
  }
  if (!options.token_rows.empty()) {
    Sha256 hash;
    for (const auto& row : options.token_rows) {
      hash.update(std::as_bytes(std::span(row)));
      hash.update("|");
    }
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
      progress.skip();
    } else {
      result.layer_reports.push_back(analyse_layer(model, layer, result.high_norm.direction, directions));
      journal.put(name, to_record(result.layer_reports.back()));
      progress.advance();
    }
  }
}

ScanResult begin(const Model& model, const Tokenizer& tokenizer, const ScanOptions& options,
                 ScanJournal& journal) {
  check_tokenizer(model, tokenizer);
  ScanResult result = describe(model, options);
  journal.set_key(journal_key(options, result));
  return result;
}

}  // namespace

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
    if (const auto tensor = model.checkpoint().describe(name)) result.parameters += tensor->elements();
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

ScanResult scan(const Model& model, const Tokenizer& tokenizer, const ScanOptions& options,
                ScanJournal& journal) {
  ScanResult result = begin(model, tokenizer, options, journal);
  check_weights(model, journal);
  const std::vector<DecayRatio> decay = analyse_states(model, tokenizer, options, journal, result);
  if (options.read_weights) read_weights(model, options, journal, result);
  for (std::size_t i = 0; i < decay.size() && i < result.layer_reports.size(); ++i) {
    result.layer_reports[i].decay_ratio = decay[i].ratio;
    result.layer_reports[i].decay_inputs = decay[i].inputs;
  }
  add_notes(options, result);
  return result;
}

ScanResult scan_states(const Model& model, const Tokenizer& tokenizer, const ScanOptions& options,
                       ScanJournal& journal) {
  ScanResult result = begin(model, tokenizer, options, journal);
  analyse_states(model, tokenizer, options, journal, result);
  add_notes(options, result);
  return result;
}

}  // namespace defectoscope
