#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"
#include "base/files.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_test_data.h"

namespace defectoscope {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string own_json() { return read_file(own_data() / "llama3_bpe" / "tokenizer.json"); }

/// What opening a folder with this one file (and a good tokenizer.json, if it is another) says.
std::string problem_with(const std::string& name, const std::string& content) {
  const ScratchFolder folder;
  write_file(folder.path() / "tokenizer.json", own_json());
  write_file(folder.path() / name, content);
  if (name == "tokenizer.model") std::filesystem::remove(folder.path() / "tokenizer.json");
  return problem_of([&] { open_tokenizer(folder.path()); });
}

TEST(OpenTokenizer, FolderWithoutTokenizerSaysWhatItLooksFor) {
  const ScratchFolder folder;
  EXPECT_THAT(problem_of([&] { open_tokenizer(folder.path()); }),
              AllOf(HasSubstr(folder.path().string()), HasSubstr("tokenizer.json")));
  EXPECT_THAT(problem_of([&] { open_tokenizer(folder.path() / "none"); }),
              HasSubstr("no such file or folder"));
}

TEST(OpenTokenizer, MalformedTokenizerJsonIsNamedWithItsCause) {
  EXPECT_THAT(problem_with("tokenizer.json", ""), AllOf(HasSubstr("tokenizer.json"), HasSubstr("EOF")));
  EXPECT_THAT(problem_with("tokenizer.json", own_json().substr(0, 3000)), HasSubstr("tokenizer.json"));
  EXPECT_THAT(problem_with("tokenizer.json", "[1, 2]"), HasSubstr("tokenizer.json"));
  EXPECT_THAT(problem_with("tokenizer.json", std::string(100'000, '[')), HasSubstr("tokenizer.json"));
  EXPECT_THAT(
      problem_with("tokenizer.json", R"({"version":"1.0","model":{"type":"BPE","vocab":{},"merges":[]}})"),
      HasSubstr("the vocabulary is empty"));
  EXPECT_THAT(problem_with("tokenizer.json",
                           R"({"version":"1.0","model":{"type":"BPE","vocab":{"a":0},"merges":["a b"]}})"),
              HasSubstr("out of vocabulary"));
  EXPECT_THAT(
      problem_with("tokenizer.json",
                   R"({"version":"1.0","model":{"type":"BPE","vocab":{"a":4294967295},"merges":[]}})"),
      HasSubstr("4294967295"));
  EXPECT_THAT(
      problem_with(
          "tokenizer.json",
          R"({"version":"1.0","pre_tokenizer":{"type":"Split","pattern":{"Regex":"(("},)"
          R"("behavior":"Isolated","invert":false},"model":{"type":"BPE","vocab":{"a":0},"merges":[]}})"),
      HasSubstr("tokenizer.json"));
}

TEST(OpenTokenizer, MalformedConfigurationIsNamedWithItsKey) {
  EXPECT_THAT(problem_with("tokenizer_config.json", "{"), HasSubstr("tokenizer_config.json"));
  EXPECT_THAT(problem_with("tokenizer_config.json", "[]"), HasSubstr("tokenizer_config.json"));
  EXPECT_THAT(problem_with("tokenizer_config.json", R"({"add_bos_token": "yes"})"),
              AllOf(HasSubstr("add_bos_token"), HasSubstr("true or false")));
  EXPECT_THAT(problem_with("tokenizer_config.json", R"({"bos_token": 7})"), HasSubstr("bos_token"));
  EXPECT_THAT(problem_with("tokenizer_config.json", R"({"added_tokens_decoder": {"x": {"content": "a"}}})"),
              AllOf(HasSubstr("added_tokens_decoder"), HasSubstr("\"x\"")));
  EXPECT_THAT(problem_with("tokenizer_config.json", R"({"added_tokens_decoder": {"1": {}}})"),
              HasSubstr("content"));
  EXPECT_THAT(problem_with("added_tokens.json", R"({"<x>": -1})"), HasSubstr("added_tokens.json"));
  EXPECT_THAT(problem_with("special_tokens_map.json", "nothing"), HasSubstr("special_tokens_map.json"));
}

TEST(OpenTokenizer, MalformedSentencePieceModelIsNamed) {
  const std::string model = read_file(own_data() / "spm" / "tokenizer.model");
  for (const std::string& content :
       {std::string(), std::string("not a model"), model.substr(0, model.size() / 2)})
    EXPECT_THAT(problem_with("tokenizer.model", content), HasSubstr("tokenizer.model"));
}

TEST(OpenTokenizer, TextThatIsNotUtf8IsRefusedWithTheByte) {
  for (const char* name : {"llama3_bpe", "spm"}) {
    const auto tokenizer = open_tokenizer(own_data() / name);
    EXPECT_THAT(problem_of([&] { tokenizer->encode("abc\xFF", true); }), HasSubstr("byte 3")) << name;
    EXPECT_THAT(problem_of([&] { tokenizer->encode("\xED\xA0\x80", true); }), HasSubstr("byte 0")) << name;
    EXPECT_THAT(problem_of([&] { tokenizer->encode("a\xE2\x82", true); }), HasSubstr("byte 1")) << name;
  }
}

TEST(OpenTokenizer, TokenizerJsonIsPreferredToTheModel) {
  const ScratchFolder folder;
  std::filesystem::copy(own_data() / "spm" / "tokenizer.model", folder.path());
  EXPECT_FALSE(open_tokenizer(folder.path())->byte_level());
  write_file(folder.path() / "tokenizer.json", own_json());
  EXPECT_TRUE(open_tokenizer(folder.path())->byte_level());
}

TEST(OpenTokenizer, NamedTokenThatTheVocabularyLacksIsNotAdded) {
  const ScratchFolder folder;
  write_file(folder.path() / "tokenizer.json", own_json());
  const Index size = open_tokenizer(folder.path())->size();
  write_file(folder.path() / "tokenizer_config.json", R"({"pad_token": "[PAD]", "bos_token": "<s>"})");
  EXPECT_EQ(open_tokenizer(folder.path())->size(), size);
}

}  // namespace
}  // namespace defectoscope
