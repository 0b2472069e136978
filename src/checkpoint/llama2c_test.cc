#include "checkpoint/llama2c.h"

#include <gmock/gmock.h>

#include "base/files.h"
#include "checkpoint/test_files.h"
#include "checkpoint/test_llama2c.h"

namespace defectoscope {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing_files::bad_input_message;
using testing_files::TemporaryFolder;
using namespace testing_llama2c;

using Sizes = Llama2cFile::Sizes;
constexpr Sizes kTied = {4, 2, 1, 1, 1, 3, 2, true};
constexpr Sizes kUntied = {8, 2, 2, 2, 1, 3, 2, false};

class Llama2c : public testing::Test {
 protected:
  Llama2cFile open(const std::string& bytes) {
    write_file(path_, bytes);
    return Llama2cFile::open(path_);
  }
  std::shared_ptr<const TensorSet> read(const std::string& bytes) {
    return open(bytes).tensors([](std::string_view name) { return TensorPlace{std::string(name)}; });
  }
  std::string refusal(const std::string& bytes) {
    const std::string message = bad_input_message([&] { open(bytes); });
    EXPECT_THAT(message, HasSubstr("model.bin"));
    return message;
  }
  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "model.bin";
};

/// Whole numbers first .. first + count - 1.
std::vector<float> counting(int first, int count) {
  std::vector<float> values;
  for (int i = 0; i < count; ++i) values.push_back(static_cast<float>(first + i));
  return values;
}

TEST_F(Llama2c, Version0IsReadInItsOrder) {
  const auto tensors = read(counting_file(0, kTied));
  EXPECT_THAT(tensors->names(),
              ElementsAre("blk.0.attn_k.weight", "blk.0.attn_norm.weight", "blk.0.attn_output.weight",
                          "blk.0.attn_q.weight", "blk.0.attn_v.weight", "blk.0.ffn_down.weight",
                          "blk.0.ffn_gate.weight", "blk.0.ffn_norm.weight", "blk.0.ffn_up.weight",
                          "output_norm.weight", "token_embd.weight"));
  const auto values = [&](const char* name) { return to_f32(*tensors->find(name)); };
  EXPECT_EQ(values("token_embd.weight"), counting(0, 12));
  EXPECT_EQ(values("blk.0.attn_norm.weight"), counting(12, 4));
  EXPECT_EQ(values("blk.0.attn_q.weight"), counting(16, 16));
  EXPECT_EQ(values("blk.0.attn_k.weight"), counting(32, 16));
  EXPECT_EQ(values("blk.0.attn_v.weight"), counting(48, 16));
  EXPECT_EQ(values("blk.0.attn_output.weight"), counting(64, 16));
  EXPECT_EQ(values("blk.0.ffn_norm.weight"), counting(80, 4));
  EXPECT_EQ(values("blk.0.ffn_gate.weight"), counting(84, 8));
  EXPECT_EQ(values("blk.0.ffn_down.weight"), counting(92, 8));
  EXPECT_EQ(values("blk.0.ffn_up.weight"), counting(100, 8));
  EXPECT_EQ(values("output_norm.weight"), counting(108, 4));
  EXPECT_THAT(tensors->find("blk.0.ffn_down.weight")->shape, ElementsAre(4, 2));
}

TEST_F(Llama2c, Version1HasNormsFirstAndLayersOfAKindTogether) {
  const auto tensors = read(counting_file(1, kUntied));
  const auto first = [&](const char* name) { return to_f32(*tensors->find(name)).front(); };
  EXPECT_EQ(first("blk.1.attn_norm.weight"), 8);
  EXPECT_EQ(first("blk.0.ffn_norm.weight"), 16);
  EXPECT_EQ(first("output_norm.weight"), 32);
  EXPECT_EQ(first("token_embd.weight"), 40);
  EXPECT_EQ(first("blk.1.attn_q.weight"), 64 + 64);
  EXPECT_EQ(first("blk.1.attn_k.weight"), 64 + 128 + 32);
  EXPECT_THAT(tensors->find("blk.1.attn_k.weight")->shape, ElementsAre(4, 8));
  EXPECT_EQ(first("output.weight"), static_cast<float>(elements_of(kUntied) - 24));
}

TEST_F(Llama2c, Version2IsScaledByGroups) {
  std::string bytes = header(2, kTied, 4);
  for (int i = 0; i < 12; ++i) put(bytes, static_cast<float>(i));  // three norms
  for (int tensor = 0; tensor < 8; ++tensor) {                     // embedding, four and three matrices
    const int count = tensor == 0 ? 12 : tensor < 5 ? 16 : 8;
    for (int i = 0; i < count; ++i) bytes += static_cast<char>(i - 6);
    for (int i = 0; i < count / 4; ++i) put(bytes, 0.5f + static_cast<float>(i + tensor));
  }
  const auto tensors = read(bytes);
  EXPECT_EQ(tensors->stored("token_embd.weight")->format, "int8 in groups of 4");
  EXPECT_THAT(to_f32(*tensors->find("token_embd.weight")),
              ElementsAre(-3, -2.5, -2, -1.5, -3, -1.5, 0, 1.5, 5, 7.5, 10, 12.5));
  EXPECT_THAT(to_f32(*tensors->find("blk.0.ffn_up.weight")),
              ElementsAre(-45, -37.5, -30, -22.5, -17, -8.5, 0, 8.5));
  EXPECT_EQ(to_f32(*tensors->find("output_norm.weight")), counting(8, 4));
}

TEST_F(Llama2c, QueryAndKeyRowsArePutBackWhereAsked) {
  const auto tensors = open(counting_file(1, {4, 2, 1, 1, 1, 3, 2, true})).tensors([](std::string_view name) {
    return TensorPlace{std::string(name),
                       name == "blk.0.attn_q.weight" ? RowChange::kPermutedQuery : RowChange::kNone};
  });
  EXPECT_EQ(tensors->find("blk.0.attn_q.weight")->shape, (std::vector<Index>{4, 4}));
  const std::vector<float> query = to_f32(*tensors->find("blk.0.attn_q.weight"));
  EXPECT_THAT((std::vector{query[0], query[4], query[8], query[12]}), ElementsAre(24, 32, 28, 36));
}

TEST_F(Llama2c, EveryTruncationIsRefused) {
  for (const std::int32_t version : {0, 1}) {
    const std::string whole = counting_file(version, kTied);
    write_file(path_, whole);
    for (std::size_t size = whole.size(); size-- > 0;) {
      std::filesystem::resize_file(path_, size);
      EXPECT_THAT(bad_input_message([&] { Llama2cFile::open(path_); }), HasSubstr("model.bin"));
    }
  }
}

TEST_F(Llama2c, ImpossibleHeadersAreRefused) {
  const auto sizes = [&](const Sizes& s) { return refusal(header(1, s) + std::string(4096, '\0')); };
  EXPECT_THAT(sizes({0, 2, 1, 1, 1, 3, 2, true}), HasSubstr("dim 0"));
  EXPECT_THAT(sizes({4, -2, 1, 1, 1, 3, 2, true}), HasSubstr("hidden_dim -2"));
  EXPECT_THAT(sizes({4, 2, 1 << 30, 1, 1, 3, 2, true}), HasSubstr("n_layers"));
  EXPECT_THAT(sizes({4, 2, 1, 1, 2, 3, 2, true}), HasSubstr("n_kv_heads 2"));
  EXPECT_THAT(sizes({4, 2, 1, 3, 1, 3, 2, true}), HasSubstr("3 heads"));
  EXPECT_THAT(sizes({4, 2, 1, 1, 1, -3, 2, true}), HasSubstr("vocab_size -3"));
  // The largest sizes that are possible at all, so that their products would be.
  EXPECT_THAT(sizes({1 << 20, 1 << 24, 10'000, 1 << 16, 1 << 16, 1 << 28, 1 << 30, false}),
              HasSubstr("shorter than its sizes say"));
  EXPECT_THAT(refusal(header(3, kTied)), AllOf(HasSubstr("version"), HasSubstr("got: 3")));
  for (const std::int32_t group : {0, -4, 5})
    EXPECT_THAT(refusal(header(2, kTied, group) + std::string(4096, '\0')),
                AllOf(HasSubstr("groups"), HasSubstr(std::to_string(group))));
  EXPECT_THAT(refusal(counting_file(0, kTied) + "x"), HasSubstr("not a llama2.c model"));
  EXPECT_THAT(refusal("version https://git-lfs.github.com/spec/v1\n"), HasSubstr("not a llama2.c model"));
}

TEST_F(Llama2c, TokenizerLiesBesideTheModel) {
  const Llama2cFile file = open(counting_file(0, kTied));
  EXPECT_EQ(file.tokenizer_path(), "");
  write_file(folder_ / "tok3.bin", "x");
  EXPECT_EQ(file.tokenizer_path(), folder_ / "tok3.bin");
}

}  // namespace
}  // namespace defectoscope
