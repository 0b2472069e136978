#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "forward/text_windows.h"

namespace defectoscope {

class ScanJournal;
class Tokenizer;

/// A text as perplexity reads it: lines joined as the usual scripts do (join_lines_as_dataset), tokenized
/// once with the start token where the tokenizer adds one.
struct EvaluationText {
  std::string source;  ///< the file's name, or "sampled from the model"
  std::string sha256;  ///< empty where sampled
  TokenIds tokens;
};
/// Throws Error(kBadInput) where the file is missing or no UTF-8, or where an id has no row in the embedding.
EvaluationText read_evaluation_text(const std::filesystem::path& file, const Tokenizer& tokenizer,
                                    const Model& model);

/// Where no text is at hand: what scan samples as calibration rows (Calibration), 64 of them one after the
/// other, finished ones kept in `journal`; `parameters` of the model decide their length. Its perplexity says
/// how well the model keeps to itself; its KL as much as any text's. Deterministic in `seed`.
EvaluationText sample_evaluation_text(const Model& model, const Tokenizer& tokenizer, Index parameters,
                                      std::uint64_t seed, ScanJournal& journal);

/// The window a user asked for, or (0) 2048 tokens, or the model's context where that is shorter.
Index window_for(const Model& model, Index asked);

}  // namespace defectoscope
