#include "base/error.h"
#include "base/files.h"
#include "tokenizer/rust_tokenizer.h"
#include "tokenizer/sentencepiece_tokenizer.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_config.h"

namespace defectoscope {

std::unique_ptr<Tokenizer> open_tokenizer(const std::filesystem::path& folder) {
  if (!std::filesystem::is_directory(folder))
    throw_bad_input({.what = "no such folder", .file = folder.string()});
  const TokenizerConfig config = read_tokenizer_config(folder);
  if (const auto path = folder / "tokenizer.json"; std::filesystem::exists(path))
    return make_rust_tokenizer(read_file(path), path.string(), config.added_tokens);
  if (const auto path = folder / "tokenizer.model"; std::filesystem::exists(path))
    return open_sentencepiece(path, config);
  throw_bad_input({.what = "the folder has no tokenizer",
                   .file = folder.string(),
                   .expected = "tokenizer.json or tokenizer.model",
                   .hint = "download the tokenizer's files into the model's folder"});
}

}  // namespace defectoscope
