#include "tokenizer/text_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "base/files.h"
#include "tokenizer/tokenizer_test_data.h"
#include "tokenizer/utf8.h"

namespace defectoscope {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string problem_of_text(const std::string& text) {
  return problem_of([&] { parse_rows(text, "some.txt"); });
}

TEST(TextRows, BlankLinesAreNoRowsAndEndsAreTrimmed) {
  const auto rows = parse_rows("one\n\n  \t \r\n two \r\nthree", "some.txt");
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].text, "one");
  EXPECT_EQ(rows[1].text, "two");
  EXPECT_EQ(rows[1].line, 4);
  EXPECT_EQ(rows[2].text, "three");
  EXPECT_EQ(join_rows(rows), "one\ntwo\nthree");
}

TEST(TextRows, ByteOrderMarkIsNoText) { EXPECT_EQ(parse_rows("\xEF\xBB\xBFone", "some.txt")[0].text, "one"); }

TEST(TextRows, BrokenUtf8IsNamedByLineAndByte) {
  EXPECT_THAT(problem_of_text("good\nbad \xFF here"),
              AllOf(HasSubstr("some.txt"), HasSubstr("line 2, byte 5"), HasSubstr("byte 9 of the file")));
  EXPECT_THAT(problem_of_text("\xC0\x80"), HasSubstr("line 1, byte 1 "));
}

TEST(TextRows, EmptyTextIsRefused) {
  for (const char* text : {"", "\n\n", " \r\n\t"})
    EXPECT_THAT(problem_of_text(text), AllOf(HasSubstr("empty"), HasSubstr("some.txt")));
}

TEST(TextRows, FileThatIsMissingIsNamed) {
  EXPECT_THROW(read_rows("/no/such/text"), Error);
  const ScratchFolder folder;
  write_file(folder.path() / "text", "a\nb\n");
  EXPECT_EQ(read_rows(folder.path() / "text").size(), 2u);
}

TEST(TextRows, ChoiceIsInFileOrderWithoutRepetitionAndFollowsTheSeed) {
  std::vector<TextRow> rows;
  for (Index i = 0; i < 1000; ++i) rows.push_back({i, std::to_string(i)});
  const auto chosen = choose_rows(rows, 100, 7);
  ASSERT_EQ(chosen.size(), 100u);
  for (std::size_t i = 1; i < chosen.size(); ++i) EXPECT_LT(chosen[i - 1].line, chosen[i].line);
  EXPECT_EQ(join_rows(choose_rows(rows, 100, 7)), join_rows(chosen));
  EXPECT_NE(join_rows(choose_rows(rows, 100, 8)), join_rows(chosen));
  EXPECT_EQ(choose_rows(rows, 5000, 7).size(), 1000u);
  EXPECT_TRUE(choose_rows(rows, 0, 7).empty());
}

TEST(TextRows, EveryRowIsChosenEquallyOften) {
  std::vector<TextRow> rows;
  for (Index i = 0; i < 20; ++i) rows.push_back({i, "x"});
  std::vector<int> count(20, 0);
  constexpr int kDraws = 4000;
  for (int seed = 0; seed < kDraws; ++seed)
    for (const TextRow& row : choose_rows(rows, 5, static_cast<std::uint64_t>(seed)))
      ++count[static_cast<std::size_t>(row.line)];
  // 1000 expected, standard deviation 27.
  for (const int n : count) EXPECT_NEAR(n, 1000, 6 * 27);
}

TEST(Utf8, WellFormedSequencesSurviveAndIllFormedOnesAreFound) {
  for (const char32_t code : {0x24u, 0x7FFu, 0x800u, 0xD7FFu, 0xE000u, 0xFFFFu, 0x10000u, 0x10FFFFu}) {
    std::string text;
    append_utf8(text, code);
    EXPECT_FALSE(find_invalid_utf8(text).has_value());
    std::size_t position = 0;
    EXPECT_EQ(next_code_point(text, position), code);
    EXPECT_EQ(position, text.size());
  }
  for (const char* text : {"\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
                           "\xF4\x90\x80\x80", "\xF8\x88\x80\x80\x80", "\xE2\x28\xA1"})
    EXPECT_EQ(find_invalid_utf8(text), 0u);
}

TEST(TextRows, ADatasetsLinesAreJoinedByTwoNewlinesAndBlankOnesAreEmpty) {
  EXPECT_EQ(join_lines_as_dataset(" = A = \n \nb c\nd"), " = A = \n\n\n\n\nb c\n\n\nd");
  EXPECT_EQ(join_lines_as_dataset("\xef\xbb\xbfone\n"), "one\n");
  EXPECT_EQ(join_lines_as_dataset(""), "");
}

}  // namespace
}  // namespace defectoscope
