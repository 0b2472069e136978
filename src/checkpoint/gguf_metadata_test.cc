#include "checkpoint/gguf_metadata.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "base/error.h"

namespace defectoscope {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

/// Writes GGUF headers, good and bad.
class Writer {
 public:
  template <typename T>
  Writer& put(T value) {
    const auto* bytes = reinterpret_cast<const char*>(&value);
    text_.append(bytes, sizeof(T));
    return *this;
  }
  Writer& raw(std::string_view text) {
    text_ += text;
    return *this;
  }
  Writer& text(std::string_view text) { return put<std::uint64_t>(text.size()).raw(text); }
  Writer& key(std::string_view name, GgufType type) {
    return text(name).put(static_cast<std::uint32_t>(type));
  }
  Writer& array(std::string_view name, GgufType type, std::uint64_t count) {
    return key(name, GgufType::kArray).put(static_cast<std::uint32_t>(type)).put(count);
  }
  Writer& start(std::uint64_t tensors, std::uint64_t pairs, std::uint32_t version = 3) {
    return raw("GGUF").put(version).put(tensors).put(pairs);
  }
  const std::string& bytes() const { return text_; }

 private:
  std::string text_;
};

GgufMetadata parse(const Writer& writer) {
  return GgufMetadata(std::as_bytes(std::span(writer.bytes())), "model.gguf");
}

std::string problem_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
    EXPECT_THAT(error.what(), HasSubstr("model.gguf"));
    return error.what();
  }
  return "no error";
}
std::string problem_of(const Writer& writer) {
  return problem_of([&] { parse(writer); });
}

Writer good() {
  Writer writer;
  writer.start(1, 8);
  writer.key("general.architecture", GgufType::kString).text("llama");
  writer.key("llama.block_count", GgufType::kUint32).put<std::uint32_t>(22);
  writer.key("epsilon", GgufType::kFloat32).put(1e-5f);
  writer.key("causal", GgufType::kBool).put<std::uint8_t>(1);
  writer.array("tokens", GgufType::kString, 3).text("a").text("").text("▁b");
  writer.array("types", GgufType::kInt32, 3).put(1).put(-2).put(3);
  writer.array("scores", GgufType::kFloat32, 2).put(0.5f).put(-1.0f);
  writer.key("large", GgufType::kUint64).put<std::uint64_t>(~0ull);
  writer.text("token_embd.weight").put<std::uint32_t>(2).put<std::uint64_t>(64).put<std::uint64_t>(3);
  writer.put<std::uint32_t>(1).put<std::uint64_t>(128);
  return writer;
}

TEST(GgufMetadata, ValuesComeBackAsTheyWereWritten) {
  const Writer writer = good();
  const GgufMetadata gguf = parse(writer);
  EXPECT_EQ(gguf.text("general.architecture"), "llama");
  EXPECT_EQ(gguf.integer("llama.block_count"), 22);
  EXPECT_FLOAT_EQ(static_cast<float>(*gguf.number("epsilon")), 1e-5f);
  EXPECT_EQ(gguf.number("llama.block_count"), 22.0);
  EXPECT_EQ(gguf.flag("causal"), true);
  EXPECT_THAT(gguf.texts("tokens"), ElementsAre("a", "", "▁b"));
  EXPECT_THAT(gguf.integers("types"), ElementsAre(1, -2, 3));
  EXPECT_THAT(gguf.numbers("scores"), ElementsAre(0.5, -1.0));
  EXPECT_EQ(gguf.count("tokens"), 3);
  EXPECT_FALSE(gguf.text("none").has_value());
  EXPECT_TRUE(gguf.texts("none").empty());
  EXPECT_EQ(gguf.keys().size(), 8u);
  ASSERT_EQ(gguf.tensors().size(), 1u);
  EXPECT_EQ(gguf.tensors()[0].name, "token_embd.weight");
  EXPECT_THAT(gguf.tensors()[0].dimensions, ElementsAre(64, 3));
  EXPECT_EQ(gguf.tensors()[0].type, 1u);
  EXPECT_EQ(gguf.tensors()[0].offset, 128u);
  EXPECT_EQ(gguf.data_offset() % 32, 0u);
  EXPECT_GE(gguf.data_offset(), writer.bytes().size());
}

TEST(GgufMetadata, EveryTruncationIsNoticed) {
  const std::string bytes = good().bytes();
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_THROW(GgufMetadata(std::as_bytes(std::span(bytes).first(size)), "model.gguf"), Error) << size;
}

TEST(GgufMetadata, WrongTypeIsNamedWithTheKey) {
  const Writer writer = good();
  const GgufMetadata gguf = parse(writer);
  EXPECT_THAT(problem_of([&] { gguf.integer("general.architecture"); }),
              AllOf(HasSubstr("general.architecture"), HasSubstr("an integer"), HasSubstr("text")));
  EXPECT_THAT(problem_of([&] { gguf.text("llama.block_count"); }), HasSubstr("expected"));
  EXPECT_THAT(problem_of([&] { gguf.text("tokens"); }), HasSubstr("an array"));
  EXPECT_THAT(problem_of([&] { gguf.integers("tokens"); }), HasSubstr("an array of integers"));
  EXPECT_THAT(problem_of([&] { gguf.integers("scores"); }), HasSubstr("an integer"));
  EXPECT_THAT(problem_of([&] { gguf.texts("types"); }), HasSubstr("an array of texts"));
  EXPECT_THAT(problem_of([&] { gguf.flag("large"); }), HasSubstr("true or false"));
  EXPECT_THAT(problem_of([&] { gguf.integer("large"); }), HasSubstr("too large"));
  EXPECT_THAT(problem_of([&] { gguf.octets("scores"); }), HasSubstr("bytes"));
}

TEST(GgufMetadata, OtherFilesAndVersionsAreRefused) {
  EXPECT_THAT(problem_of(Writer().raw("PK\x03\x04 and more")), HasSubstr("not a GGUF file"));
  EXPECT_THAT(problem_of(Writer().start(0, 0, 1)), HasSubstr("version"));
  EXPECT_THAT(problem_of(Writer().start(0, 0, 0x03000000)), HasSubstr("little-endian"));
}

TEST(GgufMetadata, CountsBeyondTheFileAreRefusedWithoutReservingForThem) {
  constexpr std::uint64_t kHuge = 1ull << 62;
  EXPECT_NE(problem_of(Writer().start(kHuge, 0)), "no error");
  EXPECT_NE(problem_of(Writer().start(0, kHuge)), "no error");
  EXPECT_NE(problem_of(Writer().start(0, 1).put(kHuge).raw("key")), "no error");
  EXPECT_THAT(problem_of(Writer().start(0, 1).array("a", GgufType::kFloat64, kHuge)),
              HasSubstr("longer than the file"));
  EXPECT_NE(problem_of(Writer().start(0, 1).array("a", GgufType::kString, kHuge)), "no error");
}

TEST(GgufMetadata, UnknownTypesAndNestedArraysAreRefused) {
  EXPECT_THAT(problem_of(Writer().start(0, 1).text("a").put<std::uint32_t>(13)), HasSubstr("unknown type"));
  EXPECT_THAT(problem_of(Writer().start(0, 1).array("a", GgufType::kArray, 1)), HasSubstr("array of arrays"));
}

TEST(GgufMetadata, KeysAndTensorsMayNotComeTwice) {
  Writer keys;
  keys.start(0, 2)
      .key("a", GgufType::kUint8)
      .put<std::uint8_t>(1)
      .key("a", GgufType::kUint8)
      .put<std::uint8_t>(1);
  EXPECT_THAT(problem_of(keys), HasSubstr("comes twice"));
  Writer tensors;
  tensors.start(2, 0);
  for (int i = 0; i < 2; ++i)
    tensors.text("t").put<std::uint32_t>(0).put<std::uint32_t>(0).put<std::uint64_t>(0);
  EXPECT_THAT(problem_of(tensors), HasSubstr("comes twice"));
}

TEST(GgufMetadata, ShapesThatOverflowAreRefused) {
  const auto shaped = [](std::uint64_t rows, std::uint64_t columns) {
    Writer writer;
    writer.start(1, 0).text("t").put<std::uint32_t>(2).put(columns).put(rows);
    return writer.put<std::uint32_t>(0).put<std::uint64_t>(0);
  };
  EXPECT_EQ(problem_of(shaped(2, 3)), "no error");
  EXPECT_THAT(problem_of(shaped(1ull << 33, 1ull << 33)), AllOf(HasSubstr("too large"), HasSubstr("t")));
  EXPECT_THAT(problem_of(shaped(~0ull, 1)), HasSubstr("too large"));
  EXPECT_THAT(problem_of(shaped(0, 1)), HasSubstr("empty"));
  EXPECT_THAT(problem_of(Writer().start(1, 0).text("t").put<std::uint32_t>(9)), HasSubstr("dimensions"));
}

TEST(GgufMetadata, AlignmentMustBeAPowerOfTwo) {
  const auto aligned = [](std::uint32_t alignment) {
    return Writer().start(0, 1).key("general.alignment", GgufType::kUint32).put(alignment);
  };
  EXPECT_EQ(parse(aligned(64)).data_offset(), 64u);
  for (const std::uint32_t alignment : {0u, 3u, 48u, 1u << 31})
    EXPECT_THAT(problem_of(aligned(alignment)), HasSubstr("general.alignment"));
}

}  // namespace
}  // namespace defectoscope
