#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

#include "tokenizer/tokenizer.h"

namespace defectoscope {

/// The tokenizer.bin that lies beside a llama2.c model: SentencePiece's pieces and scores, with spaces for
/// "▁" and the ids 0, 1 and 2 for <unk>, <s> and </s>. Throws Error(kBadInput) where the file is malformed.
std::unique_ptr<Tokenizer> open_llama2c_tokenizer(const std::filesystem::path& path);

}  // namespace defectoscope
