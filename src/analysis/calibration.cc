#include "analysis/calibration.h"

#include <algorithm>
#include <string>
#include <utility>

#include "analysis/journal.h"
#include "analysis/row_limit.h"
#include "base/error.h"
#include "base/files.h"
#include "base/progress.h"
#include "base/random.h"
#include "base/sha256.h"
#include "tokenizer/text_rows.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {
namespace {

constexpr Index kSampledAtOnce = 64;

Index default_sample_tokens(Index parameters) { return parameters < 300'000'000 ? 64 : 32; }

}  // namespace

Calibration::Calibration(const Transformer& transformer, const Tokenizer& tokenizer,
                         const CalibrationOptions& options, ScanJournal& journal)
    : transformer_(transformer), tokenizer_(tokenizer), options_(options), journal_(journal) {
  options_.max_tokens = row_limit(transformer.model().config(), options.max_tokens);
  const Index wanted =
      options.sample_tokens > 0 ? options.sample_tokens : default_sample_tokens(options.parameters);
  sample_tokens_ = std::min(wanted, options_.max_tokens);
  if (!options_.token_rows.empty()) {
    info_.source = "token ids";
    info_.rows_available = static_cast<Index>(options_.token_rows.size());
    for (TokenIds& row : options_.token_rows) keep(std::move(row));
    if (static_cast<Index>(rows_.size()) > options_.rows)
      rows_.resize(static_cast<std::size_t>(options_.rows));
  } else if (!options_.text.empty()) {
    read_text();
  } else {
    info_.drawn = !generates();
    info_.source = info_.drawn ? "random vocabulary entries" : "sampled from the model";
    info_.rows_available = options_.rows;
  }
}

void Calibration::keep(TokenIds tokens) {
  if (static_cast<Index>(tokens.size()) > options_.max_tokens)
    tokens.resize(static_cast<std::size_t>(options_.max_tokens));
  if (!tokens.empty()) rows_.push_back(std::move(tokens));
}

void Calibration::read_text() {
  info_.source = options_.text.filename().string();
  const std::string text = read_file(options_.text);
  Sha256 hash;
  hash.update(text);
  info_.text_sha256 = hash.hex_digest();
  const std::vector<TextRow> all = parse_rows(text, options_.text.string());
  info_.rows_available = static_cast<Index>(all.size());
  for (const TextRow& row : choose_rows(all, options_.rows, options_.seed)) {
    check_interrupt();
    keep(tokenizer_.encode(row.text, true));
  }
  if (rows_.empty())
    throw_bad_input({.what = "no row of the text has a token",
                     .file = options_.text.string(),
                     .expected = "at least one line that the model's tokenizer knows",
                     .hint = "give another text, or none to use sequences sampled from the model"});
  Random random(options_.seed, stream_of("calibration order"));
  for (std::size_t i = rows_.size(); i > 1; --i) std::swap(rows_[i - 1], rows_[random.below(i)]);
}

/// Masked language models see what comes after: continuing a row means nothing to them.
bool Calibration::generates() const { return transformer_.model().config().causal; }

std::int32_t Calibration::draw_entry(Random& random, Index entries) const {
  auto entry = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(entries)));
  // Control tokens are no text; a vocabulary of nothing else keeps its last draw.
  for (int attempt = 0; attempt < 100 && tokenizer_.is_special(entry); ++attempt)
    entry = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(entries)));
  return entry;
}

bool Calibration::sample_more() {
  const Index count = std::min(kSampledAtOnce, options_.rows - sampled_);
  if (count <= 0) return false;
  const std::string name = "sampled-" + std::to_string(sampled_);
  if (const auto kept = journal_.get(name)) {
    RecordReader reader(*kept);
    for (Index i = 0; i < count; ++i) keep(reader.list<std::int32_t>());
    sampled_ += count;
    return true;
  }
  const Index entries = std::min(tokenizer_.size(), transformer_.model().config().vocab_size);
  Random random(options_.seed, stream_of("calibration starts") + static_cast<std::uint64_t>(sampled_));
  // What cannot generate gets rows of as many drawn entries as it would have written.
  const Index drawn = generates() ? 1 : std::max<Index>(1, sample_tokens_ - (tokenizer_.start_token() >= 0));
  std::vector<TokenIds> starts;
  for (Index i = 0; i < count; ++i) {
    TokenIds start;
    if (tokenizer_.start_token() >= 0) start.push_back(tokenizer_.start_token());
    for (Index j = 0; j < drawn; ++j) start.push_back(draw_entry(random, entries));
    starts.push_back(std::move(start));
  }
  const std::uint64_t seed =
      Random(options_.seed, stream_of("calibration samples") + static_cast<std::uint64_t>(sampled_))
          .next_u64();
  std::vector<TokenIds> rows =
      generates() ? transformer_.sample(starts, sample_tokens_, 1.0, seed) : std::move(starts);
  RecordWriter record;
  for (TokenIds& row : rows) {
    record.list(row);
    keep(std::move(row));
  }
  journal_.put(name, record.bytes());
  sampled_ += count;
  return true;
}

std::vector<TokenIds> Calibration::next_batch() {
  std::vector<TokenIds> batch;
  Index tokens = 0;
  while (true) {
    if (next_ == rows_.size() && !(samples() && sample_more())) break;
    const auto length = static_cast<Index>(rows_[next_].size());
    if (!batch.empty() && tokens + length > options_.batch_tokens) break;
    batch.push_back(std::exchange(rows_[next_++], {}));
    tokens += length;
  }
  info_.rows_used += static_cast<Index>(batch.size());
  info_.tokens += tokens;
  return batch;
}

}  // namespace defectoscope
