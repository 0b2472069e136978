#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

#include "tokenizer/tokenizer_config.h"

namespace defectoscope {

/// A SentencePiece model by libsentencepiece, with LLaMA's conventions: the start token is added unless the
/// configuration says add_bos_token: false, the end token only where it says add_eos_token: true; control
/// pieces and added tokens are recognised in the text. Throws Error(kBadInput) naming the file.
std::unique_ptr<Tokenizer> open_sentencepiece(const std::filesystem::path& path,
                                              const TokenizerConfig& config);
std::unique_ptr<Tokenizer> make_sentencepiece(std::string_view model, const std::string& file,
                                              const TokenizerConfig& config);

}  // namespace defectoscope
