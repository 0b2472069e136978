#include "tokenizer/sentencepiece_tokenizer.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "tokenizer/tokenizer_test_data.h"

namespace defectoscope {
namespace {

using Ids = std::vector<TokenId>;

std::unique_ptr<Tokenizer> open_with(const TokenizerConfig& config) {
  return open_sentencepiece(own_data() / "spm" / "tokenizer.model", config);
}

AddedToken token(const char* content, TokenId id, bool special) {
  AddedToken added;
  added.content = content;
  added.id = id;
  added.special = special;
  return added;
}

Ids joined(std::initializer_list<Ids> parts) {
  Ids all;
  for (const Ids& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

TEST(SentencePiece, ConfigurationDecidesOnStartAndEnd) {
  const auto plain = open_with({})->encode("fox", false);
  EXPECT_EQ(open_with({})->encode("fox", true), joined({{1}, plain}));
  TokenizerConfig both;
  both.add_eos_token = true;
  EXPECT_EQ(open_with(both)->encode("fox", true), joined({{1}, plain, {2}}));
  TokenizerConfig neither;
  neither.add_bos_token = false;
  EXPECT_EQ(open_with(neither)->encode("fox", true), plain);
  EXPECT_EQ(open_with(neither)->start_token(), -1);
}

TEST(SentencePiece, ControlPiecesAreRecognisedInText) {
  const auto tokenizer = open_with({});
  EXPECT_EQ(tokenizer->encode("</s>", false), Ids{2});
  const Ids dog = tokenizer->encode("dog", false);
  EXPECT_EQ(tokenizer->encode("<s></s>", false), (Ids{1, 2}));
  EXPECT_EQ(tokenizer->encode("dog</s>", false), joined({dog, {2}}));
  // Only the first segment gets the space that SentencePiece puts before a text.
  EXPECT_EQ(tokenizer->encode("</s> dog", false), joined({{2}, dog}));
  EXPECT_NE(tokenizer->encode("</s>dog", false), joined({{2}, dog}));
}

TEST(SentencePiece, LegacyConfigurationPutsASpaceBeforeEverySegment) {
  TokenizerConfig legacy;
  legacy.legacy = true;
  const auto tokenizer = open_with(legacy);
  EXPECT_EQ(tokenizer->encode("</s>dog", false), joined({{2}, tokenizer->encode("dog", false)}));
}

TEST(SentencePiece, AddedTokensTakeTheLongestMatchAndTheirSpaces) {
  TokenizerConfig config;
  config.added_tokens = {token("<|a|>", 600, true), token("<|a|><|b|>", 601, false)};
  config.added_tokens[1].rstrip = true;
  const auto tokenizer = open_with(config);
  EXPECT_EQ(tokenizer->size(), 602);
  EXPECT_EQ(tokenizer->encode("<|a|>", false), Ids{600});
  EXPECT_EQ(tokenizer->encode("<|a|><|b|>  </s>", false), (Ids{601, 2}));
  EXPECT_EQ(tokenizer->decode({600, 601}), "<|a|><|b|>");
  EXPECT_EQ(tokenizer->token(601), "<|a|><|b|>");
  EXPECT_EQ(tokenizer->token(599), "");
}

TEST(SentencePiece, ConfigurationMayNameAnotherStartToken) {
  TokenizerConfig config;
  config.bos_token = "</s>";
  EXPECT_EQ(open_with(config)->start_token(), 2);
}

}  // namespace
}  // namespace defectoscope
