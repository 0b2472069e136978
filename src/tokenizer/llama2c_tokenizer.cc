#include "tokenizer/llama2c_tokenizer.h"

#include <cstring>

#include "base/error.h"
#include "base/files.h"
#include "tokenizer/sentencepiece_model.h"
#include "tokenizer/sentencepiece_tokenizer.h"
#include "tokenizer/utf8.h"

// Layout: github.com/karpathy/llama2.c, tokenizer.py: the longest piece (u32), then for each piece its score
// (f32), its length (i32) and its bytes.
namespace defectoscope {
namespace {

constexpr std::string_view kPieceSpace = "▁";
constexpr std::size_t kFixed = 3;  // <unk>, <s>, </s>

bool is_byte(std::string_view text) {
  return text.size() == 6 && text.starts_with("<0x") && text.ends_with('>');
}

Piece piece_of(std::size_t id, std::string_view text, float score) {
  if (id == 0) return {"<unk>", score, PieceType::kUnknown};
  if (id == 1) return {"<s>", score, PieceType::kControl};  // written with line breaks around it
  if (id == 2) return {"</s>", score, PieceType::kControl};
  Piece piece{{}, score, is_byte(text) ? PieceType::kByte : PieceType::kNormal};
  for (const char c : text) c == ' ' ? piece.text += kPieceSpace : piece.text += c;
  return piece;
}

}  // namespace

std::unique_ptr<Tokenizer> open_llama2c_tokenizer(const std::filesystem::path& path) {
  const std::string content = read_file(path);
  const std::string file = path.string();
  std::size_t at = 0, id = 0;
  const auto fail = [&](const std::string& what, const std::string& expected, const std::string& got) {
    throw_bad_input({.what = what,
                     .file = file,
                     .tensor = "piece " + std::to_string(id),
                     .expected = expected,
                     .got = got,
                     .hint = "take the tokenizer.bin that belongs to the model"});
  };
  const auto take = [&](std::size_t size) {
    if (size > content.size() - at)
      fail("llama2.c tokenizer is cut short", std::to_string(size) + " more bytes",
           std::to_string(content.size() - at));
    const std::string_view taken = std::string_view(content).substr(at, size);
    at += size;
    return taken;
  };
  std::uint32_t longest = 0;
  std::memcpy(&longest, take(sizeof longest).data(), sizeof longest);
  PieceModel model;
  model.start = 1;
  model.end = 2;
  for (; at < content.size(); ++id) {
    float score = 0;
    std::int32_t length = 0;
    std::memcpy(&score, take(sizeof score).data(), sizeof score);
    std::memcpy(&length, take(sizeof length).data(), sizeof length);
    if (length < 1 || static_cast<std::uint32_t>(length) > longest)
      fail("llama2.c tokenizer has a piece of impossible length", "1 to " + std::to_string(longest),
           std::to_string(length));
    const std::string_view text = take(static_cast<std::size_t>(length));
    if (find_invalid_utf8(text))
      fail("llama2.c tokenizer has a piece that is not UTF-8", "UTF-8", "other bytes");
    model.pieces.push_back(piece_of(id, text, score));
  }
  if (id <= kFixed)
    fail("llama2.c tokenizer without pieces", "<unk>, <s>, </s> and pieces", std::to_string(id) + " pieces");
  TokenizerConfig config;
  config.bos_token = "<s>";
  config.eos_token = "</s>";
  return make_sentencepiece(to_sentencepiece_model(model), file, config);
}

}  // namespace defectoscope
