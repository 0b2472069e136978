#pragma once

#include <filesystem>
#include <memory>

#include "tokenizer/tokenizer.h"

namespace defectoscope {

class GgufMetadata;

/// The tokenizer that a GGUF file carries in its tokenizer.ggml.* keys: SentencePiece (llama, t5),
/// byte-letter BPE (gpt2) or WordPiece (bert). Throws Error(kBadInput) naming file and key where they are
/// missing, contradict each other or ask for a splitting of words that is not known here.
std::unique_ptr<Tokenizer> make_gguf_tokenizer(const GgufMetadata& gguf);
std::unique_ptr<Tokenizer> open_gguf_tokenizer(const std::filesystem::path& path);

}  // namespace defectoscope
