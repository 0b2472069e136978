#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

#include "tokenizer/tokenizer_config.h"

namespace defectoscope {

// Vocabularies of tokenizers that were published without a tokenizer.json. Each becomes the pipeline that
// transformers builds from the same files. All throw Error(kBadInput) naming file and line.

/// BERT's vocab.txt: an entry a line, ids from 0.
std::unique_ptr<Tokenizer> open_wordpiece(const std::filesystem::path& vocab, const TokenizerConfig& config);

/// GPT-2's vocab.json (entry: id) and merges.txt (a pair a line). What cuts text into words follows
/// config.tokenizer_class ("Qwen2Tokenizer", "RobertaTokenizer", ...), GPT-2's way where that says nothing.
std::unique_ptr<Tokenizer> open_vocab_merges(const std::filesystem::path& vocab,
                                             const std::filesystem::path& merges,
                                             const TokenizerConfig& config);

/// Whether a file's content looks like tiktoken ranks: lines of base64, space, number.
bool is_tiktoken(std::string_view content);

/// tiktoken ranks (Qwen's qwen.tiktoken, LLaMA 3's original tokenizer.model). Special tokens are those of the
/// configuration, or else the ones that the model of this many ranks came with.
std::unique_ptr<Tokenizer> open_tiktoken(const std::filesystem::path& path, const TokenizerConfig& config);

}  // namespace defectoscope
