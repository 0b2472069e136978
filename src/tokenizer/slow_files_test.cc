#include "tokenizer/slow_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "tokenizer/tokenizer_test_data.h"

namespace defectoscope {
namespace {

using Json = nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

Json own(const char* name) { return Json::parse(read_file(own_data() / name / "tokenizer.json")); }

Json own_goldens(const char* name) { return Json::parse(read_file(own_data() / "goldens.json"))[name]; }

void expect_ids(const Tokenizer& tokenizer, const Json& goldens) {
  for (const Json& golden : goldens) {
    const auto text = golden["text"].get<std::string>();
    // A token that is no part of the small files.
    if (text.find("<extra>") != text.npos) continue;
    EXPECT_EQ(tokenizer.encode(text, true), golden["ids"].get<std::vector<TokenId>>()) << '"' << text << '"';
  }
}

std::string lines_by_id(const Json& vocab) {
  std::vector<std::string> tokens(vocab.size());
  for (const auto& [token, id] : vocab.items()) tokens[id.get<std::size_t>()] = token;
  std::string text;
  for (const std::string& token : tokens) text += token + '\n';
  return text;
}

std::string merges_text(const Json& merges) {
  std::string text = "#version: 0.2\n";
  for (const Json& merge : merges)
    text += merge[0].get<std::string>() + ' ' + merge[1].get<std::string>() + '\n';
  return text;
}

TEST(SlowFiles, VocabTxtEncodesAsTheTokenizerJsonOfTheSameEntries) {
  const ScratchFolder folder;
  write_file(folder.path() / "vocab.txt", lines_by_id(own("wordpiece")["model"]["vocab"]));
  const auto tokenizer = open_tokenizer(folder.path());
  expect_ids(*tokenizer, own_goldens("wordpiece"));
  EXPECT_EQ(tokenizer->token(tokenizer->start_token()), "[CLS]");
  write_file(folder.path() / "tokenizer_config.json", R"({"do_lower_case": false})");
  EXPECT_NE(open_tokenizer(folder.path())->encode("THE", false), tokenizer->encode("THE", false));
}

TEST(SlowFiles, VocabJsonAndMergesEncodeAsTheTokenizerJsonOfTheSameEntries) {
  const ScratchFolder folder;
  const Json model = own("byte_bpe")["model"];
  write_file(folder.path() / "vocab.json", model["vocab"].dump());
  write_file(folder.path() / "merges.txt", merges_text(model["merges"]));
  const auto tokenizer = open_tokenizer(folder.path());
  expect_ids(*tokenizer, own_goldens("byte_bpe"));
  EXPECT_EQ(tokenizer->start_token(), -1);
  write_file(folder.path() / "tokenizer_config.json",
             R"({"add_bos_token": true, "bos_token": "<|endoftext|>"})");
  EXPECT_EQ(open_tokenizer(folder.path())->start_token(), tokenizer->find("<|endoftext|>"));
}

TEST(SlowFiles, TokenizerClassDecidesHowTextIsCut) {
  const ScratchFolder folder;
  const Json model = own("byte_bpe")["model"];
  write_file(folder.path() / "vocab.json", model["vocab"].dump());
  write_file(folder.path() / "merges.txt", merges_text(model["merges"]));
  const auto digits = open_tokenizer(folder.path())->encode("3333", false);
  write_file(folder.path() / "tokenizer_config.json", R"({"tokenizer_class": "Qwen2Tokenizer"})");
  // Qwen 2 takes digits one by one and composes accents.
  const auto tokenizer = open_tokenizer(folder.path());
  EXPECT_EQ(tokenizer->encode("3333", false).size(), 4u);
  EXPECT_EQ(tokenizer->encode("e\u0301", false), tokenizer->encode("\u00E9", false));
  EXPECT_LE(digits.size(), 4u);
}

TEST(SlowFiles, MalformedFilesAreNamedByLine) {
  const ScratchFolder folder;
  const auto path = [&](const char* name) { return folder.path() / name; };
  write_file(path("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\na\n");
  EXPECT_THAT(problem_of([&] { open_wordpiece(path("vocab.txt"), {}); }),
              AllOf(HasSubstr("vocab.txt"), HasSubstr("[SEP]")));
  write_file(path("vocab.txt"), "[UNK]\n\xFF\n");
  EXPECT_THAT(problem_of([&] { open_wordpiece(path("vocab.txt"), {}); }), HasSubstr("byte 6"));

  write_file(path("merges.txt"), "#version: 0.2\na b\nab\n");
  write_file(path("vocab.json"), R"({"a": 0, "b": 1, "ab": 2})");
  const auto open = [&] { open_vocab_merges(path("vocab.json"), path("merges.txt"), {}); };
  EXPECT_THAT(problem_of(open), AllOf(HasSubstr("merges.txt"), HasSubstr("line 3")));
  write_file(path("merges.txt"), "a b\n");
  EXPECT_EQ(problem_of(open), "no error");
  write_file(path("vocab.json"), R"({"a": 0, "b": 0})");
  EXPECT_THAT(problem_of(open), HasSubstr("same id"));
  write_file(path("vocab.json"), R"({"a": 0, "b": 4000000000})");
  EXPECT_THAT(problem_of(open), HasSubstr("4000000000"));
  write_file(path("vocab.json"), R"({"a": 0)");
  EXPECT_THAT(problem_of(open), HasSubstr("vocab.json"));
  write_file(path("vocab.json"), R"({"a": 0, "b": 1})");
  EXPECT_THAT(problem_of(open), AllOf(HasSubstr("merge 1"), HasSubstr("a b")));
}

TEST(SlowFiles, MalformedRanksAreNamedByLine) {
  const ScratchFolder folder;
  const auto path = folder.path() / "x.tiktoken";
  const auto problem = [&](const char* content) {
    write_file(path, content);
    return problem_of([&] { open_tiktoken(path, {}); });
  };
  EXPECT_THAT(problem("IQ== 0\nIg== 1\n"), HasSubstr("151643"));
  EXPECT_THAT(problem("IQ== 0\nIg==\n"), HasSubstr("line 2"));
  EXPECT_THAT(problem("IQ== 0\n?? 1\n"), HasSubstr("line 2"));
  EXPECT_THAT(problem("IQ== 0\nIg== 0\n"), HasSubstr("twice"));
  EXPECT_THAT(problem("IQ== 0\nIQ== 1\n"), HasSubstr("twice"));
  EXPECT_THAT(problem("IQ== 99999999999999\n"), HasSubstr("line 1"));
  EXPECT_THAT(problem("\n\n"), HasSubstr("empty"));
  EXPECT_TRUE(is_tiktoken("IQ== 0\r\n"));
  EXPECT_FALSE(is_tiktoken("\x0a\x0e<unk>"));
  EXPECT_FALSE(is_tiktoken(""));
}

}  // namespace
}  // namespace defectoscope
