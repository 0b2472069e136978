#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/gguf.h"
#include "checkpoint/llama2c.h"
#include "tokenizer/gguf_tokenizer.h"
#include "tokenizer/llama2c_tokenizer.h"
#include "tokenizer/rust_tokenizer.h"
#include "tokenizer/sentencepiece_tokenizer.h"
#include "tokenizer/slow_files.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_config.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;

std::unique_ptr<Tokenizer> open_model_file(const fs::path& path, const TokenizerConfig& config) {
  // LLaMA 3 gave tiktoken's ranks the name that SentencePiece models have.
  const std::string content = read_file(path);
  return is_tiktoken(content) ? open_tiktoken(path, config)
                              : make_sentencepiece(content, path.string(), config);
}

/// The first file of a folder with this ending, in order of names; empty where there is none.
fs::path first_with(const fs::path& folder, const char* extension) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_regular_file() && entry.path().extension() == extension) found.push_back(entry.path());
  return found.empty() ? fs::path() : *std::min_element(found.begin(), found.end());
}

/// A llama2.c model's tokenizer, or the tokenizer itself.
std::unique_ptr<Tokenizer> open_llama2c(const fs::path& path) {
  if (!Llama2cFile::recognises(MappedFile(path).bytes())) return open_llama2c_tokenizer(path);
  const fs::path tokenizer = Llama2cFile::open(path).tokenizer_path();
  if (tokenizer.empty())
    throw_bad_input({.what = "the model has no tokenizer",
                     .file = path.string(),
                     .expected = "tokenizer.bin beside it",
                     .got = "none"});
  return open_llama2c_tokenizer(tokenizer);
}

std::unique_ptr<Tokenizer> open_file(const fs::path& path) {
  if (path.extension() == ".gguf") return open_gguf_tokenizer(first_gguf_part(path));
  if (path.extension() == ".bin") return open_llama2c(path);
  const TokenizerConfig config = read_tokenizer_config(path.parent_path());
  if (path.extension() == ".json")
    return make_rust_tokenizer(read_file(path), path.string(), config.added_tokens);
  if (path.extension() == ".tiktoken") return open_tiktoken(path, config);
  if (path.extension() == ".txt") return open_wordpiece(path, config);
  return open_model_file(path, config);
}

}  // namespace

std::unique_ptr<Tokenizer> open_tokenizer(const fs::path& path) {
  if (fs::is_regular_file(path)) return open_file(path);
  if (!fs::is_directory(path)) throw_bad_input({.what = "no such file or folder", .file = path.string()});
  for (const char* name : {"tokenizer.json", "tokenizer.model"})
    if (fs::exists(path / name)) return open_file(path / name);
  const TokenizerConfig config = read_tokenizer_config(path);
  if (fs::exists(path / "vocab.json") && fs::exists(path / "merges.txt"))
    return open_vocab_merges(path / "vocab.json", path / "merges.txt", config);
  if (fs::exists(path / "vocab.txt")) return open_wordpiece(path / "vocab.txt", config);
  for (const char* extension : {".tiktoken", ".gguf"})
    if (const fs::path file = first_with(path, extension); !file.empty()) return open_file(file);
  throw_bad_input({.what = "the folder has no tokenizer",
                   .file = path.string(),
                   .expected =
                       "tokenizer.json, tokenizer.model, vocab.json and merges.txt, vocab.txt, a .tiktoken "
                       "or a .gguf file",
                   .hint = "download the tokenizer's files into the model's folder"});
}

}  // namespace defectoscope
