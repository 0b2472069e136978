#pragma once

#include <string>
#include <vector>

#include "base/index.h"
#include "synthesis/phantom.h"

namespace defectoscope {

/// Fewest entries: special tokens, bytes, the words of the test sentence.
inline constexpr Index kSmallestVocabulary = 384;

/// A byte-level BPE vocabulary of a given size: three special tokens, the 256 bytes, common English words
/// with their beginnings, then pronounceable syllables until it is full. Any text can be written in it.
class PhantomTokenizer {
 public:
  PhantomTokenizer(const PhantomShape& shape, bool add_start_token);

  /// The entry as tokenizer.json spells it ("Ġthe", "Ċ").
  const std::string& token(Index id) const { return tokens_[static_cast<std::size_t>(id)]; }
  Index size() const { return static_cast<Index>(tokens_.size()); }
  /// Its id; the entry must exist.
  Index find(const std::string& token) const;
  /// Special tokens and single bytes that are no printable ASCII: entries that sampling should avoid.
  bool is_unusual(Index id) const { return unusual_[static_cast<std::size_t>(id)]; }
  Index start_token() const { return 1; }
  Index end_token() const { return 2; }

  std::string tokenizer_json() const;
  std::string tokenizer_config_json() const;

 private:
  void add_byte_tokens();
  void add_merge(const std::string& left, const std::string& right);
  void add_word(const std::string& text);
  void add_syllables();
  bool full() const { return size() >= limit_; }

  Index limit_;
  Index max_positions_;
  bool add_start_token_;
  std::vector<std::string> tokens_;
  std::vector<bool> unusual_;
  std::vector<std::pair<std::string, std::string>> merges_;
  std::vector<std::pair<std::string, Index>> sorted_;  ///< tokens with ids, for find
};

}  // namespace defectoscope
