#include "tokenizer/gguf_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "checkpoint/gguf_metadata.h"

namespace defectoscope {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// A GGUF file of keys alone.
class Gguf {
 public:
  Gguf& text(const char* key, std::string_view value) {
    start(key, GgufType::kString);
    put_text(value);
    return *this;
  }
  Gguf& number(const char* key, std::uint32_t value) {
    start(key, GgufType::kUint32);
    put(value);
    return *this;
  }
  Gguf& texts(const char* key, const std::vector<std::string>& values) {
    array(key, GgufType::kString, values.size());
    for (const std::string& value : values) put_text(value);
    return *this;
  }
  Gguf& types(const std::vector<std::int32_t>& values) {
    array("tokenizer.ggml.token_type", GgufType::kInt32, values.size());
    for (const std::int32_t value : values) put(value);
    return *this;
  }
  Gguf& scores(std::size_t count) {
    array("tokenizer.ggml.scores", GgufType::kFloat32, count);
    for (std::size_t i = 0; i < count; ++i) put(-static_cast<float>(i));
    return *this;
  }

  std::unique_ptr<Tokenizer> open() const {
    std::string file = "GGUF";
    const auto head = [&file](auto value) {
      file.append(reinterpret_cast<const char*>(&value), sizeof value);
    };
    head(std::uint32_t{3});
    head(std::uint64_t{0});
    head(keys_);
    file += body_;
    return make_gguf_tokenizer(GgufMetadata(std::as_bytes(std::span(file)), "model.gguf"));
  }
  std::string problem() const {
    try {
      open();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
      EXPECT_THAT(error.what(), HasSubstr("model.gguf"));
      return error.what();
    }
    return "no error";
  }

 private:
  template <typename T>
  void put(T value) {
    body_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void put_text(std::string_view value) {
    put(std::uint64_t{value.size()});
    body_ += value;
  }
  void start(const char* key, GgufType type) {
    ++keys_;
    put_text(key);
    put(type);
  }
  void array(const char* key, GgufType type, std::size_t count) {
    start(key, GgufType::kArray);
    put(type);
    put(std::uint64_t{count});
  }
  std::string body_;
  std::uint64_t keys_ = 0;
};

Gguf gpt() {
  return Gguf()
      .text("tokenizer.ggml.model", "gpt2")
      .texts("tokenizer.ggml.tokens", {"a", "b", "ab", "<s>"})
      .types({1, 1, 1, 3});
}

Gguf llama() {
  return Gguf()
      .text("tokenizer.ggml.model", "llama")
      .texts("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "▁", "a", "b", "ab", "▁ab"})
      .types({2, 3, 3, 1, 1, 1, 1, 1});
}

TEST(GgufTokenizer, ByteBpeMergesAndFindsControlTokens) {
  const auto tokenizer = gpt().texts("tokenizer.ggml.merges", {"a b"}).open();
  EXPECT_EQ(tokenizer->encode("ab<s>a", true), (std::vector<TokenId>{2, 3, 0}));
  EXPECT_TRUE(tokenizer->is_special(3));
  EXPECT_EQ(tokenizer->start_token(), -1);
}

TEST(GgufTokenizer, SentencePieceMergesByScoreAndAddsTheStart) {
  const auto tokenizer = llama().scores(8).open();
  EXPECT_EQ(tokenizer->encode("ab", true), (std::vector<TokenId>{1, 7}));
  EXPECT_EQ(tokenizer->decode({1, 7, 7}), "ab ab");
  EXPECT_EQ(tokenizer->start_token(), 1);
}

TEST(GgufTokenizer, RepeatedAndEmptyEntriesKeepTheirIds) {
  const auto tokenizer = Gguf()
                             .text("tokenizer.ggml.model", "gpt2")
                             .texts("tokenizer.ggml.tokens", {"a", "", "a", "b"})
                             .texts("tokenizer.ggml.merges", {})
                             .open();
  EXPECT_EQ(tokenizer->size(), 4);
  EXPECT_EQ(tokenizer->encode("ab", false), (std::vector<TokenId>{0, 3}));
}

TEST(GgufTokenizer, WordPieceWithoutIdsOfSpecialTokensReadsNothingBeyondItsEntries) {
  const auto tokenizer = Gguf()
                             .text("tokenizer.ggml.model", "bert")
                             .texts("tokenizer.ggml.tokens", {"[UNK]", "▁a", "b"})
                             .number("tokenizer.ggml.unknown_token_id", 0)
                             .open();
  EXPECT_EQ(tokenizer->encode("ab c", true), (std::vector<TokenId>{1, 2, 0}));
}

TEST(GgufTokenizer, WhatIsMissingOrUnknownIsNamed) {
  EXPECT_THAT(Gguf().problem(), HasSubstr("tokenizer.ggml.model"));
  EXPECT_THAT(Gguf().text("tokenizer.ggml.model", "rwkv").problem(),
              AllOf(HasSubstr("rwkv"), HasSubstr("gpt2")));
  EXPECT_THAT(Gguf().text("tokenizer.ggml.model", "gpt2").problem(), HasSubstr("tokenizer.ggml.tokens"));
  EXPECT_THAT(llama().problem(), AllOf(HasSubstr("tokenizer.ggml.scores"), HasSubstr("8")));
  EXPECT_THAT(gpt().text("tokenizer.ggml.pre", "of-the-future").problem(),
              AllOf(HasSubstr("tokenizer.ggml.pre"), HasSubstr("of-the-future")));
}

TEST(GgufTokenizer, ContradictionsAreNamed) {
  EXPECT_THAT(Gguf()
                  .text("tokenizer.ggml.model", "gpt2")
                  .texts("tokenizer.ggml.tokens", {"a", "b"})
                  .types({1})
                  .problem(),
              AllOf(HasSubstr("tokenizer.ggml.token_type"), HasSubstr("2")));
  EXPECT_THAT(gpt().texts("tokenizer.ggml.merges", {"a b", "b a"}).problem(),
              AllOf(HasSubstr("tokenizer.ggml.merges[1]"), HasSubstr("b a")));
  EXPECT_THAT(gpt().texts("tokenizer.ggml.merges", {"ab"}).problem(), HasSubstr("not a merge"));
  EXPECT_THAT(llama().scores(8).number("tokenizer.ggml.bos_token_id", 8).problem(),
              AllOf(HasSubstr("tokenizer.ggml.bos_token_id"), HasSubstr("0 to 7")));
  EXPECT_THAT(
      Gguf().text("tokenizer.ggml.model", "gpt2").texts("tokenizer.ggml.tokens", {"a", "\xFF"}).problem(),
      AllOf(HasSubstr("not UTF-8"), HasSubstr("[1]")));
}

}  // namespace
}  // namespace defectoscope
