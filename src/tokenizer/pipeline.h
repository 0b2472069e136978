#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tokenizer/rust_tokenizer.h"

namespace defectoscope {

/// A byte-letter BPE vocabulary, as GPT-2 introduced it, to be run by the `tokenizers` library.
struct BpeVocabulary {
  std::vector<std::string> tokens;  ///< by id, in byte letters; empty where there is none
  std::vector<std::pair<std::string, std::string>> merges;  ///< first come, first merged
  std::vector<AddedToken> added;                            ///< found in text as they are; ids as in `tokens`
  std::string splitting = "gpt-2";                          ///< a name that is_known_splitting
  bool ignore_merges = false;                               ///< a word that is an entry is taken whole
  bool add_prefix_space = false;
  std::string start;  ///< tokens that encode(…, true) adds; empty: none
  std::string end;
};

/// Whether a name tells how text is cut into words before merging. Names are those of llama.cpp's
/// `tokenizer.ggml.pre`, since GGUF files carry them; each stands for what the model's own tokenizer.json
/// does.
bool is_known_splitting(const std::string& name);

/// The first merge whose parts or result are no entries, if any: `tokenizers` would not take it.
std::optional<std::size_t> find_impossible_merge(const BpeVocabulary& vocabulary);

/// The text of the tokenizer.json that says the same. Throws std::exception where an entry is not UTF-8.
std::string to_tokenizer_json(const BpeVocabulary& vocabulary);

/// BERT's WordPiece: continuations are spelled "##ing".
struct WordPieceVocabulary {
  std::vector<std::string> tokens;  ///< by id
  std::vector<AddedToken> added;
  std::string unknown = "[UNK]";
  std::string start = "[CLS]";
  std::string end = "[SEP]";
  bool lower_case = true;
  bool split_chinese = true;
  std::optional<bool> strip_accents;  ///< as lower_case where not said
};

std::string to_tokenizer_json(const WordPieceVocabulary& vocabulary);

}  // namespace defectoscope
