#include "checkpoint/gguf.h"

#include <gmock/gmock.h>

#include <cmath>

#include "base/files.h"
#include "checkpoint/gguf_blocks.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/test_files.h"
#include "checkpoint/test_gguf.h"

namespace defectoscope {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing_files::bad_input_message;
using testing_files::TemporaryFolder;
using testing_gguf::f32_bytes;
using testing_gguf::GgufFile;

class Gguf : public testing::Test {
 protected:
  std::shared_ptr<const TensorSet> open(const GgufFile& file, RowChange change = RowChange::kNone) {
    write_file(folder_ / "m.gguf", file.bytes());
    return read(change);
  }
  std::shared_ptr<const TensorSet> read(RowChange change = RowChange::kNone) {
    return GgufFiles::open(folder_ / "m.gguf").tensors([&](std::string_view name) {
      return TensorPlace{name == "rope_freqs.weight" ? std::string() : "own." + std::string(name), change};
    });
  }
  std::string refusal(const GgufFile& file) {
    const std::string message = bad_input_message([&] { open(file); });
    EXPECT_THAT(message, HasSubstr("m.gguf"));
    return message;
  }
  static GgufFile llama() {
    return GgufFile("llama")
        .integer("llama.attention.head_count", 2)
        .integer("llama.attention.head_count_kv", 1);
  }
  TemporaryFolder folder_;
};

TEST(GgufBlocks, EveryFormatGivesWhatTheGgufPackageGives) {
  const auto goldens = SafetensorsFile::open(std::filesystem::path(DEFECTOSCOPE_SOURCE_DIR) /
                                             "src/checkpoint/testdata/gguf_blocks.safetensors");
  int formats = 0;
  for (std::uint32_t type = 0; type < 64; ++type) {
    const GgufFormat* format = find_gguf_format(type);
    if (format == nullptr || format->unpack == nullptr) continue;
    ++formats;
    const Tensor& blocks = goldens->tensors().at(std::string(format->name));
    const std::vector<float> expected = to_f32(goldens->tensors().at(std::string(format->name) + ".values"));
    ASSERT_EQ(blocks.shape.at(1), format->block_bytes) << format->name;
    std::vector<float> values(expected.size());
    float largest = 0;
    for (const float value : expected) largest = std::max(largest, std::abs(value));
    for (Index i = 0; i < blocks.shape[0]; ++i)
      format->unpack(reinterpret_cast<const std::uint8_t*>(blocks.data) + i * format->block_bytes,
                     values.data() + i * format->block_values);
    // A few roundings of f32, should the compiler fuse a product with a sum.
    for (std::size_t i = 0; i < values.size(); ++i)
      ASSERT_NEAR(values[i], expected[i], 2e-7f * largest) << format->name << " value " << i;
  }
  EXPECT_EQ(formats, 12);
}

TEST_F(Gguf, PlainTensorsAreReadInPlaceUnderTheNamesAskedFor) {
  const auto checkpoint =
      open(llama()
               .tensor("token_embd.weight", {3, 2}, 0, f32_bytes(6))
               .tensor("blk.11.ffn_up.weight", {2, 1}, 30, std::string("\x80\x3f\0\x40", 4))
               .tensor("blk.11.ffn_norm.weight", {2}, 1, std::string("\0\x3c\0\x40", 4))
               .tensor("rope_freqs.weight", {1}, 0, f32_bytes(1)));
  EXPECT_THAT(checkpoint->names(),
              ElementsAre("own.blk.11.ffn_norm.weight", "own.blk.11.ffn_up.weight", "own.token_embd.weight"));
  const Tensor embedding = *checkpoint->find("own.token_embd.weight");
  EXPECT_THAT(embedding.shape, ElementsAre(2, 3));
  EXPECT_THAT(to_f32(embedding), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_EQ(embedding.data, checkpoint->find("own.token_embd.weight")->data);
  EXPECT_EQ(checkpoint->find("own.blk.11.ffn_up.weight")->dtype, DType::kBF16);
  EXPECT_THAT(to_f32(*checkpoint->find("own.blk.11.ffn_up.weight")), ElementsAre(1, 2));
  EXPECT_THAT(to_f32(*checkpoint->find("own.blk.11.ffn_norm.weight")), ElementsAre(1, 2));
}

TEST_F(Gguf, QuantizedTensorsAreMadeWhenAskedForAndSharedWhileHeld) {
  std::string blocks;  // two rows of one q8_0 block: scales 1 and 0.5, codes -16 .. 15
  for (const std::uint16_t scale : {std::uint16_t{0x3c00}, std::uint16_t{0x3800}}) {
    blocks.append(reinterpret_cast<const char*>(&scale), 2);
    for (int i = -16; i < 16; ++i) blocks += static_cast<char>(i);
  }
  const auto checkpoint = open(llama().tensor("output.weight", {32, 2}, 8, blocks));
  EXPECT_EQ(checkpoint->describe("own.output.weight")->data, nullptr);
  EXPECT_EQ(checkpoint->stored("own.output.weight")->format, "q8_0");
  EXPECT_EQ(checkpoint->stored("own.output.weight")->bytes.size(), 68u);
  const Tensor head = *checkpoint->find("own.output.weight");
  EXPECT_EQ(head.dtype, DType::kF32);
  EXPECT_THAT(head.shape, ElementsAre(2, 32));
  const std::vector<float> values = to_f32(head);
  for (int i = 0; i < 32; ++i) {
    EXPECT_EQ(values[static_cast<std::size_t>(i)], static_cast<float>(i - 16));
    EXPECT_EQ(values[static_cast<std::size_t>(i) + 32], 0.5f * static_cast<float>(i - 16));
  }
  EXPECT_EQ(checkpoint->find("own.output.weight")->data, head.data);
}

TEST_F(Gguf, PermutedQueriesAndKeysAreUndone) {
  // Two heads of four: the converter puts row s * 2 + i of a head at 2 * i + s, so rows 0 1 2 3 become 0 2
  // 1 3.
  const GgufFile file = llama().tensor("w", {1, 8}, 0, f32_bytes(8)).tensor("b", {8}, 0, f32_bytes(8));
  for (const char* name : {"own.w", "own.b"}) {
    EXPECT_THAT(to_f32(*open(file, RowChange::kPermutedQuery)->find(name)),
                ElementsAre(0, 2, 1, 3, 4, 6, 5, 7));
    EXPECT_THAT(to_f32(*open(file, RowChange::kPermutedKey)->find(name)),
                ElementsAre(0, 2, 4, 6, 1, 3, 5, 7));  // one head of eight
    EXPECT_THAT(to_f32(*open(file)->find(name)), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  }
}

TEST_F(Gguf, TransposedMatricesAreTurnedBack) {
  const auto checkpoint = open(llama().tensor("w", {2, 3}, 0, f32_bytes(6)), RowChange::kTransposed);
  const Tensor matrix = *checkpoint->find("own.w");
  EXPECT_THAT(matrix.shape, ElementsAre(2, 3));
  EXPECT_THAT(to_f32(matrix), ElementsAre(0, 2, 4, 1, 3, 5));
}

TEST_F(Gguf, QueriesKeysAndValuesGoBackToTheirGroups) {
  // Four heads of two on two key-value heads: stored as queries 0 .. 7, keys 8 .. 11, values 12 .. 15.
  const GgufFile file = GgufFile("falcon")
                            .integer("falcon.attention.head_count", 4)
                            .integer("falcon.attention.head_count_kv", 2)
                            .tensor("w", {1, 16}, 0, f32_bytes(16))
                            .tensor("b", {16}, 0, f32_bytes(16));
  for (const char* name : {"own.w", "own.b"})
    EXPECT_THAT(to_f32(*open(file, RowChange::kRegrouped)->find(name)),
                ElementsAre(0, 1, 2, 3, 8, 9, 12, 13, 4, 5, 6, 7, 10, 11, 14, 15));
}

class GgufParts : public Gguf {
 protected:
  static GgufFile part(int number, int count, const char* tensor) {
    GgufFile file = number == 0 ? llama() : GgufFile("");
    if (number == 0) file.integer("split.tensors.count", 2);
    return file.integer("split.no", static_cast<std::uint32_t>(number))
        .integer("split.count", static_cast<std::uint32_t>(count))
        .tensor(tensor, {2}, 0, f32_bytes(2));
  }
  void write(int number, const GgufFile& file) { write_file(path(number), file.bytes()); }
  std::filesystem::path path(int number) const {
    return folder_ / ("m-0000" + std::to_string(number + 1) + "-of-00002.gguf");
  }
  std::string problem(int number) {
    return bad_input_message([&] { GgufFiles::open(path(number)); });
  }
};

TEST_F(GgufParts, AnyPartOpensAllOfThem) {
  write(0, part(0, 2, "a"));
  write(1, part(1, 2, "b"));
  for (const int number : {0, 1}) {
    const GgufFiles files = GgufFiles::open(path(number));
    EXPECT_EQ(files.metadata().text("general.architecture"), "llama");
    const auto tensors = files.tensors([](std::string_view name) { return TensorPlace{std::string(name)}; });
    EXPECT_THAT(tensors->names(), ElementsAre("a", "b"));
    EXPECT_EQ(tensors->file_of("b"), path(1));
    EXPECT_THAT(files.shape_of("b"), ElementsAre(2));
  }
}

TEST_F(GgufParts, MissingForeignAndMisplacedPartsAreRefused) {
  write(0, part(0, 2, "a"));
  EXPECT_THAT(problem(0), AllOf(HasSubstr("part of a GGUF model missing"), HasSubstr("m-00002-of-00002")));
  write(1, part(0, 2, "b"));
  EXPECT_THAT(problem(0), AllOf(HasSubstr("another's place"), HasSubstr("expected: 1 of 2")));
  write(1, part(1, 3, "b"));
  EXPECT_THAT(problem(1), AllOf(HasSubstr("another GGUF model"), HasSubstr("got: 1 of 3")));
  write(1, part(1, 2, "a"));
  EXPECT_THAT(bad_input_message([&] {
                GgufFiles::open(path(0)).tensors([](auto name) { return TensorPlace{std::string(name)}; });
              }),
              HasSubstr("present in two files"));
  write(1, part(1, 2, "b").tensor("c", {1}, 0, f32_bytes(1)));
  EXPECT_THAT(problem(0), HasSubstr("another number of tensors"));
  write_file(folder_ / "m.gguf", part(0, 2, "a").bytes());
  EXPECT_THAT(bad_input_message([&] { GgufFiles::open(folder_ / "m.gguf"); }),
              AllOf(HasSubstr("several files"), HasSubstr("llama-gguf-split")));
}

TEST_F(Gguf, WhatIsNotSupportedIsNamed) {
  EXPECT_THAT(refusal(llama()), HasSubstr("without weights"));
  EXPECT_THAT(refusal(llama().tensor("t", {256}, 16, std::string(66, '\0'))),
              AllOf(HasSubstr("tensor: t"), HasSubstr("type 16")));
}

TEST_F(Gguf, DataOutsideTheFileAreRefused) {
  EXPECT_THAT(refusal(llama().tensor("t", {4}, 0, f32_bytes(3))),
              AllOf(HasSubstr("outside the file"), HasSubstr("tensor: t")));
  EXPECT_THAT(refusal(llama().tensor("t", {4}, 0, f32_bytes(4), std::uint64_t{1} << 40)),
              HasSubstr("outside the file"));
  EXPECT_THAT(refusal(llama().tensor("t", {4}, 0, f32_bytes(4), ~std::uint64_t{0})),
              HasSubstr("outside the file"));
  EXPECT_THAT(refusal(llama().tensor("t", {std::int64_t{1} << 62}, 28, f32_bytes(4))),
              HasSubstr("outside the file"));
  EXPECT_THAT(refusal(llama().tensor("t", {32, std::int64_t{1} << 57}, 8, f32_bytes(4))),
              HasSubstr("outside the file"));
  EXPECT_THAT(refusal(llama().tensor("t", {33}, 8, std::string(100, '\0'))), HasSubstr("multiple of 32"));
  for (const RowChange change : {RowChange::kPermutedQuery, RowChange::kRegrouped})
    EXPECT_THAT(bad_input_message([&] { open(llama().tensor("t", {1, 6}, 0, f32_bytes(6)), change); }),
                AllOf(HasSubstr("do not divide among heads"), HasSubstr("tensor: t")));
  EXPECT_THAT(
      bad_input_message([&] { open(llama().tensor("t", {6}, 0, f32_bytes(6)), RowChange::kTransposed); }),
      HasSubstr("two dimensions"));
}

TEST_F(Gguf, EveryTruncationIsRefused) {
  const std::string whole = llama().tensor("output.weight", {4}, 0, f32_bytes(4)).bytes();
  write_file(folder_ / "m.gguf", whole);
  for (std::size_t size = whole.size(); size-- > 0;) {
    std::filesystem::resize_file(folder_ / "m.gguf", size);
    EXPECT_THAT(bad_input_message([&] { read(); }), HasSubstr("m.gguf"));
  }
}

}  // namespace
}  // namespace defectoscope
