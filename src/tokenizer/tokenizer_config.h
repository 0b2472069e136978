#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tokenizer/rust_tokenizer.h"

namespace defectoscope {

/// What the small files beside a vocabulary say; all of them may be absent.
struct TokenizerConfig {
  std::string tokenizer_class;  ///< "LlamaTokenizer", ...; empty where not said
  std::optional<bool> add_bos_token;
  std::optional<bool> add_eos_token;
  std::optional<bool> add_prefix_space;
  std::optional<bool> legacy;
  std::optional<bool> do_lower_case;
  std::optional<bool> tokenize_chinese_chars;
  std::optional<bool> strip_accents;
  std::string bos_token;  ///< empty where there is none
  std::string eos_token;
  std::string unk_token;
  std::string cls_token;
  std::string sep_token;
  /// added_tokens_decoder (or else added_tokens.json) in the order of its ids, then the special tokens named.
  std::vector<AddedToken> added_tokens;
};

/// Reads tokenizer_config.json of a folder, and where that has no added_tokens_decoder, the older
/// special_tokens_map.json (which wins over it) and added_tokens.json too, as transformers does.
/// Throws Error(kBadInput) naming file and key where one is malformed.
TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder);

}  // namespace defectoscope
