#include "checkpoint/strict_json.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "checkpoint/test_files.h"

namespace defectoscope {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing_files::bad_input_message;

TEST(StrictJson, ReadsWhatTheOrdinaryParserReads) {
  const char* text = R"({"a": [1, -2, 3.5, null, true, {"b": "ü"}], "c": {}, "d": []})";
  EXPECT_EQ(parse_strict_json(text, "x.json"), nlohmann::json::parse(text));
}

TEST(StrictJson, RefusesDuplicateKeysAtAnyDepth) {
  EXPECT_THAT(bad_input_message([] { parse_strict_json(R"({"a": {"k": 1, "k": 2}})", "x.json"); }),
              AllOf(HasSubstr("duplicate key"), HasSubstr("file: x.json"), HasSubstr("tensor: k")));
}

TEST(StrictJson, TheSameKeyInTwoObjectsIsNoDuplicate) {
  EXPECT_NO_THROW(parse_strict_json(R"([{"k": 1}, {"k": 2}])", "x.json"));
}

TEST(StrictJson, NamesTheByteWhereItStopsBeingJson) {
  EXPECT_THAT(bad_input_message([] { parse_strict_json(R"({"a": oops})", "x.json"); }),
              AllOf(HasSubstr("not valid JSON"), HasSubstr("file: x.json"), HasSubstr("at byte 7")));
  EXPECT_THAT(bad_input_message([] { parse_strict_json("", "x.json"); }), HasSubstr("not valid JSON"));
  EXPECT_THAT(bad_input_message([] { parse_strict_json("{\"a\": \"\xff\"}", "x.json"); }),
              HasSubstr("not valid JSON"));
}

TEST(StrictJson, RefusesDeepNestingInsteadOfOverflowingTheStack) {
  EXPECT_THAT(bad_input_message([] { parse_strict_json(std::string(1'000'000, '['), "x.json"); }),
              HasSubstr("nested too deeply"));
}

TEST(Shortened, CutsLongTextsBetweenCharacters) {
  EXPECT_EQ(shortened("short"), "short");
  std::string umlauts;
  for (int i = 0; i < 100; ++i) umlauts += "xü";  // byte 100 is in the middle of a character
  const std::string cut = shortened(umlauts);
  EXPECT_LE(cut.size(), 103u);
  EXPECT_TRUE(cut.ends_with("..."));
  EXPECT_NO_THROW((void)nlohmann::json(cut).dump());  // dump() refuses broken UTF-8
}

}  // namespace
}  // namespace defectoscope
