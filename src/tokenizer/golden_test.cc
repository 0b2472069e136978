// Encodings made by the reference libraries (tools/golden_tokenizers.py).
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "base/files.h"
#include "tokenizer/sentencepiece_tokenizer.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_test_data.h"

namespace defectoscope {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<TokenId>;

Json read_goldens(const char* name) { return Json::parse(read_file(own_data() / name)); }

void expect_goldens(const Tokenizer& tokenizer, const Json& goldens) {
  ASSERT_GT(goldens.size(), 15u);
  for (const Json& golden : goldens) {
    const auto text = golden["text"].get<std::string>();
    const auto ids = golden["ids"].get<Ids>();
    EXPECT_EQ(tokenizer.encode(text, true), ids) << '"' << text << '"';
    EXPECT_EQ(tokenizer.encode(text, false), golden["plain"].get<Ids>()) << '"' << text << '"';
    EXPECT_EQ(tokenizer.decode(ids), golden["decoded"].get<std::string>()) << '"' << text << '"';
  }
}

class Golden : public testing::TestWithParam<const char*> {};

TEST_P(Golden, OwnTokenizerEncodesAndDecodesAsTheReference) {
  const auto tokenizer = open_tokenizer(own_data() / GetParam());
  expect_goldens(*tokenizer, read_goldens("goldens.json")[GetParam()]);
}

INSTANTIATE_TEST_SUITE_P(Own, Golden,
                         testing::Values("byte_bpe", "llama3_bpe", "wordpiece", "unigram", "spm"),
                         [](const auto& info) { return std::string(info.param); });

class PublishedGolden : public testing::TestWithParam<const char*> {};

TEST_P(PublishedGolden, EncodesAndDecodesAsTheReference) {
  SKIP_WITHOUT_SHARED_DATA();
  const std::string name = GetParam();
  const auto path = shared_data() / "tokenizers" / name;
  const auto tokenizer = std::filesystem::is_directory(path) ? open_tokenizer(path)
                                                             : open_sentencepiece(path, TokenizerConfig());
  expect_goldens(*tokenizer, read_goldens("published_goldens.json")[name]);
}

INSTANTIATE_TEST_SUITE_P(Published, PublishedGolden,
                         testing::Values("hf/phi-2", "hf/phi-3-mini", "hf/phi-3-medium",
                                         "hf/falcon-tokenizer", "hf/tokenizer_roberta-base",
                                         "tokenizer.model.v1", "tokenizer.model.v3"),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (char& c : name)
                             if (c == '-' || c == '/' || c == '.') c = '_';
                           return name;
                         });

TEST(Tokenizer, EntriesAreFoundByTheirSpellingAndBack) {
  for (const char* name : {"byte_bpe", "llama3_bpe", "wordpiece", "unigram", "spm"}) {
    const auto tokenizer = open_tokenizer(own_data() / name);
    ASSERT_GT(tokenizer->size(), 150) << name;
    for (TokenId id = 0; id < tokenizer->size(); ++id)
      ASSERT_EQ(tokenizer->find(tokenizer->token(id)), id) << name << ' ' << tokenizer->token(id);
    EXPECT_EQ(tokenizer->token(static_cast<TokenId>(tokenizer->size())), "");
    EXPECT_EQ(tokenizer->token(-1), "");
    EXPECT_EQ(tokenizer->find("no such entry"), -1);
    EXPECT_EQ(tokenizer->find("\xFF"), -1);
  }
}

TEST(Tokenizer, StartTokenIsTheOneEncodingPutsFirst) {
  const auto start = [](const char* name) {
    const auto tokenizer = open_tokenizer(own_data() / name);
    return tokenizer->token(tokenizer->start_token());
  };
  EXPECT_EQ(start("byte_bpe"), "");
  EXPECT_EQ(start("llama3_bpe"), "<s>");
  EXPECT_EQ(start("wordpiece"), "[CLS]");
  EXPECT_EQ(start("unigram"), "");  // an end token only
  EXPECT_EQ(start("spm"), "<s>");
}

TEST(Tokenizer, SpecialTokensAreThoseOfTheConfiguration) {
  const auto bert = open_tokenizer(own_data() / "wordpiece");
  EXPECT_TRUE(bert->is_special(bert->find("[MASK]")));
  EXPECT_FALSE(bert->is_special(bert->find("the")));
  EXPECT_FALSE(bert->is_special(-1));
  const auto gpt = open_tokenizer(own_data() / "byte_bpe");
  EXPECT_FALSE(gpt->is_special(gpt->find("<extra>")));
  EXPECT_TRUE(gpt->byte_level());
  EXPECT_FALSE(bert->byte_level());
}

TEST(Tokenizer, ThreadsEncodeTheSame) {
  for (const char* name : {"llama3_bpe", "spm"}) {
    const auto tokenizer = open_tokenizer(own_data() / name);
    const Json goldens = read_goldens("goldens.json")[name];
    std::vector<std::thread> threads;
    std::vector<int> wrong(4, 0);
    for (std::size_t t = 0; t < wrong.size(); ++t)
      threads.emplace_back([&, t] {
        for (int round = 0; round < 20; ++round)
          for (const Json& golden : goldens)
            wrong[t] +=
                tokenizer->encode(golden["text"].get<std::string>(), true) != golden["ids"].get<Ids>();
      });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, std::vector<int>(4, 0)) << name;
  }
}

}  // namespace
}  // namespace defectoscope
