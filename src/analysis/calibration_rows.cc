#include "analysis/calibration_rows.h"

namespace defectoscope {

CalibrationOptions calibration_options(const ScanOptions& options, Index parameters) {
  return {.text = options.text,
          .token_rows = options.token_rows,
          .rows = options.rows,
          .max_tokens = options.max_tokens,
          .sample_tokens = options.sample_tokens,
          .seed = options.seed,
          .parameters = parameters};
}

std::vector<std::vector<TokenIds>> calibration_batches(const Transformer& transformer,
                                                       const Tokenizer& tokenizer, const ScanOptions& options,
                                                       Index parameters, Index enough_tokens,
                                                       ScanJournal& journal) {
  Calibration calibration(transformer, tokenizer, calibration_options(options, parameters), journal);
  std::vector<std::vector<TokenIds>> batches;
  Index tokens = 0;
  while (tokens < enough_tokens) {
    std::vector<TokenIds> rows = calibration.next_batch();
    if (rows.empty()) break;
    for (const TokenIds& row : rows) tokens += static_cast<Index>(row.size());
    batches.push_back(std::move(rows));
  }
  return batches;
}

}  // namespace defectoscope
