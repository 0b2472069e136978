#include <gtest/gtest.h>

#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_test_data.h"

namespace defectoscope {
namespace {

TEST(ReadableToken, PlainEntriesStayAsTheyAre) {
  for (const char* token :
       {"", "the", "▁the", "été", "лиса", "狐狸", "<s>", "[CLS]", "##ing", "🦙", "C:\\dir"})
    EXPECT_EQ(readable_token(token), token);
}

TEST(ReadableToken, SpacesAndLineEndsShow) {
  EXPECT_EQ(readable_token(" the"), "▁the");
  EXPECT_EQ(readable_token("\n\t\r"), "\\n\\t\\r");
  EXPECT_EQ(readable_token("<0x0A>"), "\\n");
  EXPECT_EQ(readable_token("<0xE2>"), "<0xE2>");
  EXPECT_EQ(readable_token("\x01\x7F"), "<0x01><0x7F>");
}

TEST(ReadableToken, BackslashesAreNotMistakenForEscapes) {
  EXPECT_EQ(readable_token("\\n"), "\\\\n");
  EXPECT_EQ(readable_token("\\frac"), "\\frac");
}

TEST(ReadableToken, ByteLettersAreUndone) {
  EXPECT_EQ(readable_token("Ġthe"), "▁the");
  EXPECT_EQ(readable_token("Ċ"), "\\n");
  EXPECT_EQ(readable_token("ĠcafÃ©"), "▁café");
  EXPECT_EQ(readable_token("ĉĉ"), "\\t\\t");
}

TEST(ReadableToken, LettersThatAreMeantThemselvesStay) {
  EXPECT_EQ(readable_token("é"), "é");
  EXPECT_EQ(readable_token("ġ"), "ġ");
  EXPECT_EQ(readable_token("Łódź"), "Łódź");
}

TEST(ReadableToken, InvisibleAndUnrulyCharactersAreNamed) {
  EXPECT_EQ(readable_token("a\u200Bb"), "a<U+200B>b");
  EXPECT_EQ(readable_token("\u202Eabc"), "<U+202E>abc");
  EXPECT_EQ(readable_token("\u00A0"), "<U+00A0>");
  EXPECT_EQ(readable_token("ש"), "<U+05E9>");
  EXPECT_EQ(readable_token("\u0301"), "<U+0301>");
  EXPECT_EQ(readable_token("e\u0301"), "e\u0301");
  EXPECT_EQ(readable_token("\uFEFF\u2028\U000E0001"), "<U+FEFF><U+2028><U+E0001>");
}

TEST(ReadableToken, PartOfACharacterIsShownAsBytes) {
  EXPECT_EQ(readable_token("\xE2\x82"), "<0xE2><0x82>");
  EXPECT_EQ(readable_token("a\xC3"), "a<0xC3>");
}

TEST(ReadableToken, VocabularySettlesWhetherLettersAreBytes) {
  const auto byte_bpe = open_tokenizer(own_data() / "byte_bpe");
  const TokenId part = byte_bpe->find("Ã");
  ASSERT_GE(part, 0);
  EXPECT_EQ(readable_token(*byte_bpe, part), "<0xC3>");
  EXPECT_EQ(readable_token(*byte_bpe, byte_bpe->find("ġ")), "<0x7F>");
  EXPECT_EQ(readable_token(*byte_bpe, byte_bpe->find("<|endoftext|>")), "<|endoftext|>");
  for (const char* name : {"byte_bpe", "llama3_bpe", "wordpiece", "unigram", "spm"}) {
    const auto tokenizer = open_tokenizer(own_data() / name);
    for (TokenId id = 0; id < tokenizer->size(); ++id) {
      const std::string text = readable_token(*tokenizer, id);
      EXPECT_FALSE(text.empty()) << name << ' ' << id;
      for (const char c : text)
        EXPECT_TRUE(static_cast<unsigned char>(c) > 0x20 && c != 0x7F) << name << ' ' << id;
    }
  }
}

}  // namespace
}  // namespace defectoscope
