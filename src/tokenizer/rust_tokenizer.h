#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace defectoscope {

/// A token added to a vocabulary, with the flags tokenizer.json gives it.
struct AddedToken {
  std::string content;
  bool single_word = false;  ///< matches whole words only
  bool lstrip = false;       ///< takes the white space before it
  bool rstrip = false;       ///< takes the white space behind it
  bool normalized = true;    ///< looked for in normalized text
  bool special = false;
  bool yields = false;  ///< flags that the vocabulary has for it already hold, but for `special`
  TokenId id = -1;      ///< the id its file claims; -1: none, added only where the vocabulary has it
};

/// A tokenizer from the text of a tokenizer.json, by Hugging Face's `tokenizers`; then `added`, in this order
/// (one already there gets the new flags and keeps its id). `file` names it in errors: Error(kBadInput) with
/// the cause.
std::unique_ptr<Tokenizer> make_rust_tokenizer(std::string_view json, const std::string& file,
                                               const std::vector<AddedToken>& added = {});

/// How a code point shows on a terminal.
enum class CharacterKind { kVisible, kCombining, kInvisible };
CharacterKind character_kind(char32_t code_point);

}  // namespace defectoscope
