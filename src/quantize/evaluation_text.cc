#include "quantize/evaluation_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "analysis/calibration.h"
#include "analysis/journal.h"
#include "base/error.h"
#include "base/files.h"
#include "base/sha256.h"
#include "tokenizer/text_rows.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {

EvaluationText read_evaluation_text(const std::filesystem::path& file, const Tokenizer& tokenizer,
                                    const Model& model) {
  const std::string content = read_file(file);
  Sha256 hash;
  hash.update(content);
  EvaluationText text{file.filename().string(), hash.hex_digest(), {}};
  parse_rows(content, file.string());  // names line and byte of what is no UTF-8
  text.tokens = tokenizer.encode(join_lines_as_dataset(content), true);
  const auto largest = std::ranges::max_element(text.tokens);
  if (largest != text.tokens.end() && *largest >= model.config().vocab_size)
    throw_bad_input({.what = "the tokenizer gives ids that the embedding has no row for",
                     .file = model.folder().string(),
                     .expected = fmt::format("ids below {}", model.config().vocab_size),
                     .got = std::to_string(*largest),
                     .hint = "the tokenizer files belong to another model"});
  return text;
}

EvaluationText sample_evaluation_text(const Model& model, const Tokenizer& tokenizer, Index parameters,
                                      std::uint64_t seed, ScanJournal& journal) {
  constexpr Index kRows = 64;
  const Transformer transformer(model);
  Calibration calibration(
      transformer, tokenizer,
      {.text = {}, .token_rows = {}, .rows = kRows, .seed = seed, .parameters = parameters}, journal);
  EvaluationText text;
  for (auto rows = calibration.next_batch(); !rows.empty(); rows = calibration.next_batch())
    for (const TokenIds& row : rows) text.tokens.insert(text.tokens.end(), row.begin(), row.end());
  text.source = calibration.info().source;
  return text;
}

Index window_for(const Model& model, Index asked) {
  constexpr Index kUsual = 2048;
  if (asked > 0) return asked;
  const Index context = model.config().max_positions;
  return context > 0 ? std::min(kUsual, context) : kUsual;
}

}  // namespace defectoscope
