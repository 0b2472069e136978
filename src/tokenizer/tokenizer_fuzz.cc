// Damages small good vocabularies of every container, byte by byte: what still opens must encode and decode
// without harm, all else must be an Error. Pure noise would hardly ever get past the first brace.
#include <array>
#include <cstdint>
#include <string>

#include "base/test_fuzz.h"
#include "checkpoint/gguf_metadata.h"
#include "tokenizer/gguf_tokenizer.h"
#include "tokenizer/pipeline.h"
#include "tokenizer/rust_tokenizer.h"
#include "tokenizer/text_rows.h"
#include "tokenizer/tokenizer.h"

namespace {

using namespace defectoscope;

void use(const Tokenizer& tokenizer, std::string_view text) {
  require(tokenizer.size() > 0);
  const auto ids = tokenizer.encode(text, true);
  tokenizer.decode(ids);
  for (const TokenId id : ids) readable_token(tokenizer, id);
  tokenizer.decode({-1, 0, static_cast<TokenId>(tokenizer.size())});
  tokenizer.find(text);
}

template <typename Open>
void attempt_use(const Open& open, std::string_view text) {
  attempt([&] { use(*open(), text); });
}

const std::string& bpe_json() {
  static const std::string json = [] {
    BpeVocabulary bpe;
    bpe.tokens = {"a", "b", "c", "Ġ", "ab", "Ġab", "<s>", "</s>"};
    bpe.merges = {{"a", "b"}, {"Ġ", "ab"}};
    AddedToken start;
    start.content = "<s>";
    start.special = true;
    start.id = 6;
    bpe.added = {start};
    bpe.splitting = "llama-bpe";
    bpe.start = "<s>";
    return to_tokenizer_json(bpe);
  }();
  return json;
}

const std::string& wordpiece_json() {
  static const std::string json = [] {
    WordPieceVocabulary pieces;
    pieces.tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "##b", "c"};
    return to_tokenizer_json(pieces);
  }();
  return json;
}

std::string gguf(const char* model) {
  std::string file = "GGUF";
  const auto put = [&file](auto value) { file.append(reinterpret_cast<const char*>(&value), sizeof value); };
  const auto text = [&](std::string_view value) {
    put(std::uint64_t{value.size()});
    file += value;
  };
  const auto array = [&](const char* key, GgufType type, std::uint64_t count) {
    text(key);
    put(GgufType::kArray);
    put(type);
    put(count);
  };
  constexpr std::array kTokens = {"<unk>", "<s>", "</s>", "▁", "a", "b", "ab", "<u>"};
  constexpr std::array kTypes = {2, 3, 3, 1, 1, 1, 1, 4};
  put(std::uint32_t{3});
  put(std::uint64_t{0});
  put(std::uint64_t{6});
  text("tokenizer.ggml.model");
  put(GgufType::kString);
  text(model);
  array("tokenizer.ggml.tokens", GgufType::kString, kTokens.size());
  for (const char* token : kTokens) text(token);
  array("tokenizer.ggml.token_type", GgufType::kInt32, kTypes.size());
  for (const int type : kTypes) put(type);
  array("tokenizer.ggml.scores", GgufType::kFloat32, kTokens.size());
  for (std::size_t i = 0; i < kTokens.size(); ++i) put(-static_cast<float>(i));
  array("tokenizer.ggml.merges", GgufType::kString, 1);
  text("a b");
  text("tokenizer.ggml.eos_token_id");
  put(GgufType::kUint32);
  put(std::uint32_t{2});
  return file;
}

/// Applies edits of three bytes: where (16 bits), and what goes there; an `x` of 255 cuts the rest off.
std::string damaged(std::string text, const std::uint8_t* data, std::size_t size) {
  for (std::size_t i = 0; i + 2 < size && !text.empty(); i += 3) {
    const std::size_t at = (data[i] | (std::size_t{data[i + 1]} << 8)) % text.size();
    if (data[i + 2] == 255) {
      text.resize(at);
    } else {
      text[at] = static_cast<char>(data[i + 2]);
    }
  }
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  // The first byte chooses, the second says how much of the rest is text to encode.
  const std::size_t length = std::min<std::size_t>(data[1], size - 2);
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, length);
  const std::uint8_t* edits = data + 2 + length;
  const std::size_t edits_size = size - 2 - length;
  const auto json = [&](const std::string& base) {
    attempt_use([&] { return make_rust_tokenizer(damaged(base, edits, edits_size), "fuzz"); }, text);
  };
  const auto from_gguf = [&](const char* model) {
    const std::string file = damaged(gguf(model), edits, edits_size);
    attempt_use([&] { return make_gguf_tokenizer(GgufMetadata(std::as_bytes(std::span(file)), "fuzz")); },
                text);
  };
  switch (data[0] % 6) {
    case 0:
      json(bpe_json());
      break;
    case 1:
      json(wordpiece_json());
      break;
    case 2:
      from_gguf("gpt2");
      break;
    case 3:
      from_gguf("bert");
      break;
    case 4:
      from_gguf("llama");
      break;
    default:
      try {
        require(!choose_rows(parse_rows(text, "fuzz"), 1, size).empty());
      } catch (const Error& error) {
        require(error.kind() == ErrorKind::kBadInput);
      }
  }
  return 0;
}
