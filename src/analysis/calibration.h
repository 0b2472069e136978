#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "analysis/scan_result.h"
#include "forward/transformer.h"

namespace defectoscope {

class Random;
class ScanJournal;
class Tokenizer;

struct CalibrationOptions {
  std::filesystem::path text;        ///< empty: sampled from the model, or drawn
  std::vector<TokenIds> token_rows;  ///< rows as they are, in place of a text
  Index rows = 1000;
  Index max_tokens = 512;     ///< and the model's context
  Index sample_tokens = 0;    ///< 0: 64 below 300 M parameters, else 32
  Index batch_tokens = 2048;  ///< tokens of a batch at most; a longer row stands alone
  std::uint64_t seed = 0;
  Index parameters = 0;  ///< of the model
};

/// Calibration rows, a batch at a time.
class Calibration {
 public:
  /// Reads and tokenizes the text. Throws Error(kBadInput) as read_rows does, and where no row has a token.
  Calibration(const Transformer& transformer, const Tokenizer& tokenizer, const CalibrationOptions& options,
              ScanJournal& journal);

  /// The next rows, at most batch_tokens tokens together; empty at the end. A text's rows come in an order
  /// shuffled by the seed, so that any beginning is a fair sample. Sampled rows are generated here, 64 at a
  /// time: the start token if the tokenizer adds one, a random vocabulary entry, then the model's own choice
  /// at temperature 1. Models without a causal mask generate nothing: their rows are random entries.
  std::vector<TokenIds> next_batch();
  /// rows_used and tokens count what next_batch gave so far.
  const CalibrationInfo& info() const { return info_; }
  CalibrationInfo& info() { return info_; }
  Index sample_tokens() const { return sample_tokens_; }

 private:
  bool samples() const { return options_.text.empty() && options_.token_rows.empty(); }
  void keep(TokenIds tokens);
  void read_text();
  bool sample_more();
  bool generates() const;
  std::int32_t draw_entry(Random& random, Index entries) const;

  const Transformer& transformer_;
  const Tokenizer& tokenizer_;
  CalibrationOptions options_;
  ScanJournal& journal_;
  CalibrationInfo info_;
  Index sample_tokens_ = 0;
  std::vector<TokenIds> rows_;
  std::size_t next_ = 0;
  Index sampled_ = 0;
};

}  // namespace defectoscope
