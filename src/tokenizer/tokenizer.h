#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/index.h"

namespace defectoscope {

using TokenId = std::int32_t;

/// Text to token ids and back. Implementations are thread-safe for reading.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  /// Entries including added ones; ids are below this.
  virtual Index size() const = 0;
  /// With `special`, start (and end) tokens are added as the tokenizer's own configuration says.
  /// Throws Error(kBadInput) where `text` is not UTF-8, naming the byte.
  virtual std::vector<TokenId> encode(std::string_view text, bool special) const = 0;
  /// Special tokens, and ids without an entry, add nothing.
  virtual std::string decode(const std::vector<TokenId>& ids) const = 0;
  /// The entry as the vocabulary spells it ("▁the", "<0x0A>", "Ġthe"); empty for an id without entry.
  virtual std::string token(TokenId id) const = 0;
  /// The id of an entry spelled so, or -1.
  virtual TokenId find(std::string_view token) const = 0;
  virtual bool is_special(TokenId id) const = 0;
  /// The start token that encode(…, true) puts first, or -1.
  virtual TokenId start_token() const = 0;
  /// Whether entries are spelled in GPT-2's byte letters ("Ġ" for a space, "Ã©" for "é").
  virtual bool byte_level() const { return false; }
};

/// Opens a model folder's tokenizer, the first of these that is there: tokenizer.json; tokenizer.model
/// (SentencePiece, or tiktoken ranks under that name); vocab.json with merges.txt; vocab.txt; *.tiktoken;
/// *.gguf. Or one such file by its path; of a llama2.c model, the tokenizer.bin beside it. What a
/// tokenizer.json's own post-processor says about start and end tokens holds; the others take add_bos_token
/// and add_eos_token from tokenizer_config.json, with SentencePiece and LLaMA 3 adding a start token where
/// that says nothing. Added tokens of all come from there too. Throws Error(kBadInput) where there is none or
/// it is malformed.
std::unique_ptr<Tokenizer> open_tokenizer(const std::filesystem::path& path);

/// A token for a person to read: one line, control, partial and invisible bytes escaped ("\n", "<0x0A>"),
/// spaces shown as "▁", GPT-2's byte letters undone where they can be nothing else; combining marks without
/// a letter, right-to-left letters and invisible characters as "<U+200B>".
std::string readable_token(std::string_view token);
/// The same for an entry of a vocabulary, which tells whether it is spelled in byte letters.
std::string readable_token(const Tokenizer& tokenizer, TokenId id);

}  // namespace defectoscope
