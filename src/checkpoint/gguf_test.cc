#include "checkpoint/gguf.h"

#include <gmock/gmock.h>

#include <cmath>

#include "base/files.h"
#include "checkpoint/gguf_blocks.h"
#include "checkpoint/gguf_names.h"
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
  std::shared_ptr<const GgufCheckpoint> open(const GgufFile& file) {
    write_file(folder_ / "m.gguf", file.bytes());
    return GgufCheckpoint::open(folder_ / "m.gguf");
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

TEST_F(Gguf, PlainTensorsAreReadInPlaceUnderTheFamilysNames) {
  const auto checkpoint =
      open(llama()
               .tensor("token_embd.weight", {3, 2}, 0, f32_bytes(6))
               .tensor("blk.11.ffn_up.weight", {2, 1}, 30, std::string("\x80\x3f\0\x40", 4))
               .tensor("blk.11.ffn_norm.weight", {2}, 1, std::string("\0\x3c\0\x40", 4))
               .tensor("something.else", {1}, 0, f32_bytes(1)));
  EXPECT_THAT(checkpoint->names(),
              ElementsAre("model.embed_tokens.weight", "model.layers.11.mlp.up_proj.weight",
                          "model.layers.11.post_attention_layernorm.weight", "something.else"));
  const Tensor embedding = *checkpoint->find("model.embed_tokens.weight");
  EXPECT_THAT(embedding.shape, ElementsAre(2, 3));
  EXPECT_THAT(to_f32(embedding), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_EQ(embedding.data, checkpoint->find("model.embed_tokens.weight")->data);
  EXPECT_EQ(checkpoint->find("model.layers.11.mlp.up_proj.weight")->dtype, DType::kBF16);
  EXPECT_THAT(to_f32(*checkpoint->find("model.layers.11.mlp.up_proj.weight")), ElementsAre(1, 2));
  EXPECT_THAT(to_f32(*checkpoint->find("model.layers.11.post_attention_layernorm.weight")),
              ElementsAre(1, 2));
}

TEST_F(Gguf, QuantizedTensorsAreMadeWhenAskedForAndSharedWhileHeld) {
  std::string blocks;  // two rows of one q8_0 block: scales 1 and 0.5, codes -16 .. 15
  for (const std::uint16_t scale : {std::uint16_t{0x3c00}, std::uint16_t{0x3800}}) {
    blocks.append(reinterpret_cast<const char*>(&scale), 2);
    for (int i = -16; i < 16; ++i) blocks += static_cast<char>(i);
  }
  const auto checkpoint = open(llama().tensor("output.weight", {32, 2}, 8, blocks));
  EXPECT_EQ(checkpoint->describe("lm_head.weight")->data, nullptr);
  EXPECT_EQ(checkpoint->stored("lm_head.weight")->format, "q8_0");
  EXPECT_EQ(checkpoint->stored("lm_head.weight")->bytes.size(), 68u);
  const Tensor head = *checkpoint->find("lm_head.weight");
  EXPECT_EQ(head.dtype, DType::kF32);
  EXPECT_THAT(head.shape, ElementsAre(2, 32));
  const std::vector<float> values = to_f32(head);
  for (int i = 0; i < 32; ++i) {
    EXPECT_EQ(values[static_cast<std::size_t>(i)], static_cast<float>(i - 16));
    EXPECT_EQ(values[static_cast<std::size_t>(i) + 32], 0.5f * static_cast<float>(i - 16));
  }
  EXPECT_EQ(checkpoint->find("lm_head.weight")->data, head.data);
}

TEST_F(Gguf, PermutedQueriesAndKeysAreUndone) {
  // Two heads of four: the converter puts row s * 2 + i of a head at 2 * i + s, so rows 0 1 2 3 become 0 2
  // 1 3.
  const auto checkpoint = open(llama()
                                   .tensor("blk.0.attn_q.weight", {1, 8}, 0, f32_bytes(8))
                                   .tensor("blk.0.attn_k.weight", {1, 4}, 0, f32_bytes(4))
                                   .tensor("blk.0.attn_q.bias", {8}, 0, f32_bytes(8))
                                   .tensor("blk.0.attn_v.weight", {1, 4}, 0, f32_bytes(4)));
  const auto values = [&](const char* name) {
    return to_f32(*checkpoint->find("model.layers.0.self_attn." + std::string(name)));
  };
  EXPECT_THAT(values("q_proj.weight"), ElementsAre(0, 2, 1, 3, 4, 6, 5, 7));
  EXPECT_THAT(values("q_proj.bias"), ElementsAre(0, 2, 1, 3, 4, 6, 5, 7));
  EXPECT_THAT(values("k_proj.weight"), ElementsAre(0, 2, 1, 3));
  EXPECT_THAT(values("v_proj.weight"), ElementsAre(0, 1, 2, 3));
}

TEST_F(Gguf, Gpt2sMatricesAreTurnedBack) {
  const auto checkpoint = open(GgufFile("gpt2").tensor("blk.0.attn_qkv.weight", {2, 3}, 0, f32_bytes(6)));
  const Tensor fused = *checkpoint->find("transformer.h.0.attn.c_attn.weight");
  EXPECT_THAT(fused.shape, ElementsAre(2, 3));
  EXPECT_THAT(to_f32(fused), ElementsAre(0, 2, 4, 1, 3, 5));
}

TEST_F(Gguf, WhatIsNotSupportedIsNamed) {
  EXPECT_THAT(refusal(GgufFile("mamba").tensor("t", {1}, 0, f32_bytes(1))),
              AllOf(HasSubstr("architecture"), HasSubstr("got: mamba"), HasSubstr("llama, qwen2, gpt2")));
  EXPECT_THAT(refusal(llama()), HasSubstr("without weights"));
  EXPECT_THAT(refusal(llama().integer("split.count", 3).tensor("t", {1}, 0, f32_bytes(1))),
              AllOf(HasSubstr("several files"), HasSubstr("llama-gguf-split")));
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
  EXPECT_THAT(refusal(llama().tensor("blk.0.attn_q.weight", {1, 6}, 0, f32_bytes(6))),
              AllOf(HasSubstr("do not divide among heads"), HasSubstr("blk.0.attn_q.weight")));
}

TEST_F(Gguf, EveryTruncationIsRefused) {
  const std::string whole = llama().tensor("output.weight", {4}, 0, f32_bytes(4)).bytes();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    write_file(folder_ / "m.gguf", whole.substr(0, size));
    EXPECT_THAT(bad_input_message([&] { GgufCheckpoint::open(folder_ / "m.gguf"); }), HasSubstr("m.gguf"));
  }
}

}  // namespace
}  // namespace defectoscope
