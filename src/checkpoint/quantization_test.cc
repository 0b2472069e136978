// Quantized weights against independent implementations (tools/golden_quantized.py).
#include "checkpoint/quantization.h"

#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "checkpoint/safetensors.h"
#include "checkpoint/test_files.h"

namespace defectoscope {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing_files::bad_input_message;
using testing_files::counting_tensor;
using testing_files::TemporaryFolder;

Quantization scheme_of(const char* config) { return parse_quantization(json::parse(config), "config.json"); }

struct Case {
  const char* name;
  const char* config;
};

constexpr const char* kGptq4 = R"({"quant_method": "gptq", "bits": 4, "group_size": 32})";
constexpr const char* kAwq = R"({"quant_method": "awq", "bits": 4, "group_size": 32, "version": "GEMM"})";
constexpr const char* kPacked = R"({"quant_method": "compressed-tensors", "format": "pack-quantized"})";
constexpr const char* kInt8 = R"({"quant_method": "compressed-tensors", "format": "int-quantized"})";
constexpr const char* kFp8 = R"({"quant_method": "fp8", "weight_block_size": [10, 24]})";

constexpr Case kCases[] = {
    {"gptq4", kGptq4},
    {"gptq8", R"({"quant_method": "gptq", "bits": 8, "group_size": 32, "desc_act": false})"},
    {"gptq4_order", R"({"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": true})"},
    {"gptq4_v2", R"({"quant_method": "gptq", "bits": 4, "group_size": 32, "checkpoint_format": "gptq_v2"})"},
    {"awq", kAwq},
    {"packed4", kPacked},
    {"packed8", kPacked},
    {"packed4_zero", kPacked},
    {"int8", kInt8},
    {"int8_zero", kInt8},
    {"e4m3", kFp8},
    {"e5m2", kFp8},
    {"f8_tensor", R"({"quant_method": "compressed-tensors", "format": "float-quantized"})"},
    {"f8_rows", R"({"quant_method": "fbgemm_fp8"})"},
    {"f8_blocks", kFp8}};

class Quantized : public testing::Test {
 protected:
  Quantized()
      : goldens_(SafetensorsFile::open(std::filesystem::path(DEFECTOSCOPE_SOURCE_DIR) /
                                       "src/checkpoint/testdata/quantized.safetensors")) {}

  /// The parts of a golden, by their names without the case's.
  std::vector<Tensor> parts(const std::string& name) const {
    std::vector<Tensor> result;
    for (const auto& [full, tensor] : goldens_->tensors())
      if (full.starts_with(name + "/w.")) {
        result.push_back(tensor);
        result.back().name = full.substr(name.size() + 1);
      }
    return result;
  }
  std::shared_ptr<const Checkpoint> open(const std::vector<Tensor>& tensors, const char* config) {
    write_safetensors(folder_ / "model.safetensors", tensors);
    return dequantized(open_checkpoint(folder_.path()), scheme_of(config));
  }
  /// The refusal of a golden that `spoil` has changed.
  template <typename Spoil>
  std::string refusal(const char* name, const char* config, const Spoil& spoil) {
    std::vector<Tensor> tensors = parts(name);
    spoil(tensors);
    const std::string message = bad_input_message([&] {
      const auto checkpoint = open(tensors, config);
      checkpoint->find("w.weight");
    });
    EXPECT_THAT(message, HasSubstr("model.safetensors"));
    return message;
  }
  std::shared_ptr<const SafetensorsFile> goldens_;
  TemporaryFolder folder_;
};

class QuantizedGolden : public Quantized, public testing::WithParamInterface<Case> {};

TEST_P(QuantizedGolden, WeightIsWhatTheFormatsOwnLibraryMakes) {
  const std::string name = GetParam().name;
  std::vector<Tensor> tensors = parts(name);
  ASSERT_FALSE(tensors.empty());
  tensors.push_back(counting_tensor("w.bias", {16}));
  tensors.push_back(counting_tensor("w.input_scale", {1}));
  const auto checkpoint = open(tensors, GetParam().config);
  EXPECT_THAT(checkpoint->names(), ElementsAre("w.bias", "w.weight"));
  const Tensor expected = goldens_->tensors().at(name + "/expected");
  EXPECT_EQ(checkpoint->describe("w.weight")->data, nullptr);  // nothing is made before it is asked for
  const Tensor weight = *checkpoint->find("w.weight");
  EXPECT_EQ(weight.dtype, DType::kF32);
  ASSERT_EQ(weight.shape, expected.shape);
  const std::vector<float> got = to_f32(weight), want = to_f32(expected);
  for (std::size_t i = 0; i < want.size(); ++i)
    ASSERT_TRUE(got[i] == want[i] || (std::isnan(got[i]) && std::isnan(want[i])))
        << "value " << i << ": " << got[i] << " for " << want[i];
}

INSTANTIATE_TEST_SUITE_P(Formats, QuantizedGolden, testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_F(Quantized, BitsandbytesInt8IsScaledByItsRowsMaxima) {
  std::vector<Tensor> tensors = parts("int8");
  std::erase_if(tensors, [](const Tensor& t) { return t.name != "w.weight"; });
  const std::vector<float> codes = [&] {
    std::vector<float> values;
    for (Index i = 0; i < tensors[0].elements(); ++i)
      values.push_back(static_cast<float>(static_cast<std::int8_t>(tensors[0].data[i])));
    return values;
  }();
  tensors.push_back(counting_tensor("w.SCB", {16}, 1));
  const auto weight =
      to_f32(*open(tensors, R"({"quant_method": "bitsandbytes", "load_in_8bit": true})")->find("w.weight"));
  for (std::size_t i = 0; i < weight.size(); ++i)
    EXPECT_FLOAT_EQ(weight[i], codes[i] * static_cast<float>(i / 64 + 1) / 127);
}

TEST_F(Quantized, FingerprintCoversTheScales) {
  std::vector<Tensor> tensors = parts("f8_rows");
  const std::string before = fingerprint(*open(tensors, kFp8)), all = fingerprint(*open(tensors, kFp8), true);
  const Tensor other = counting_tensor("w.weight_scale", {16, 1});
  std::erase_if(tensors, [](const Tensor& t) { return t.name == "w.weight_scale"; });
  tensors.push_back(other);
  EXPECT_NE(fingerprint(*open(tensors, kFp8)), before);
  EXPECT_NE(fingerprint(*open(tensors, kFp8), true), all);
}

TEST_F(Quantized, UnquantizedWeightsStayInPlace) {
  write_safetensors(folder_ / "model.safetensors", {counting_tensor("a.weight", {2, 2})});
  const auto checkpoint = open_checkpoint(folder_.path());
  EXPECT_EQ(dequantized(checkpoint, scheme_of(kGptq4)), checkpoint);
}

TEST_F(Quantized, PartsThatAreMissingOrDoNotFitAreRefusedByName) {
  const auto drop = [](const char* name) {
    return [name](std::vector<Tensor>& tensors) {
      std::erase_if(tensors, [&](const Tensor& t) { return t.name == std::string("w.") + name; });
    };
  };
  const auto reshape = [](const char* name, const std::vector<Index>& shape) {
    return [name, shape](std::vector<Tensor>& tensors) {
      for (Tensor& tensor : tensors)
        if (tensor.name == std::string("w.") + name) tensor.shape = shape;
    };
  };
  EXPECT_THAT(refusal("gptq4", kGptq4, drop("scales")), AllOf(HasSubstr("missing"), HasSubstr("w.scales")));
  EXPECT_THAT(refusal("gptq4", kGptq4, drop("qzeros")), HasSubstr("w.qzeros"));
  EXPECT_THAT(refusal("awq", kAwq, drop("qzeros")), HasSubstr("w.qzeros"));
  EXPECT_THAT(refusal("packed4", kPacked, drop("weight_shape")), HasSubstr("w.weight_shape"));
  EXPECT_THAT(refusal("packed4", kPacked, drop("weight_scale")), HasSubstr("w.weight_scale"));
  EXPECT_THAT(refusal("int8", kInt8, drop("weight_scale")), HasSubstr("without scales"));
  EXPECT_THAT(refusal("gptq4", kGptq4, reshape("scales", {1, 32})),
              AllOf(HasSubstr("do not fit"), HasSubstr("expected: [2, 16]"), HasSubstr("got: [1, 32]")));
  EXPECT_THAT(refusal("gptq4", kGptq4, reshape("qweight", {128})), HasSubstr("another rank"));
  EXPECT_THAT(refusal("gptq4", kGptq4, reshape("qweight", {32, 4})), HasSubstr("impossible shape"));
  EXPECT_THAT(refusal("gptq4_order", kGptq4, reshape("g_idx", {32})), HasSubstr("do not fit"));
  EXPECT_THAT(refusal("packed4", kPacked, reshape("weight_packed", {32, 4})), HasSubstr("does not fit"));
  EXPECT_THAT(refusal("packed4", kPacked, reshape("weight_scale", {1, 32})), HasSubstr("do not"));
  EXPECT_THAT(refusal("f8_blocks", kFp8, reshape("weight_scale_inv", {3, 2})),
              AllOf(HasSubstr("do not fit"), HasSubstr("expected: [2, 3]")));
  EXPECT_THAT(refusal("gptq4", R"({"quant_method": "fp8"})", drop("none")), HasSubstr("does not say how"));
  EXPECT_THAT(refusal("gptq4", kGptq4,
                      [](std::vector<Tensor>& tensors) {
                        for (Tensor& tensor : tensors)
                          if (tensor.name == "w.qzeros") tensor.dtype = DType::kF32;
                      }),
              HasSubstr("another type"));
  // Found by the fuzzer: f8 may lack scales, but then has no zero points either.
  EXPECT_THAT(refusal("f8_blocks", kFp8,
                      [](std::vector<Tensor>& tensors) {
                        for (Tensor& tensor : tensors)
                          if (tensor.name == "w.weight_scale_inv") tensor.name = "w.weight_zero_point";
                      }),
              HasSubstr("zero points without scales"));
}

TEST_F(Quantized, GroupsThatDoNotExistAreRefusedWhenTheWeightIsMade) {
  for (const std::int32_t bad : {-1, 2, 1 << 30}) {
    std::vector<Tensor> tensors = parts("gptq4_order");
    std::vector<std::int32_t> index(64, 0);
    index[63] = bad;
    for (Tensor& tensor : tensors)
      if (tensor.name == "w.g_idx") tensor.data = reinterpret_cast<const std::byte*>(index.data());
    const auto checkpoint = open(tensors, kGptq4);
    EXPECT_THAT(bad_input_message([&] { checkpoint->find("w.weight"); }),
                AllOf(HasSubstr("w.g_idx"), HasSubstr(std::to_string(bad)), HasSubstr("[63]")));
  }
}

TEST(QuantizationConfig, WhatIsNotReadIsRefusedByItsKey) {
  const auto refusal = [](const char* config) { return bad_input_message([&] { scheme_of(config); }); };
  EXPECT_THAT(refusal(R"({"quant_method": "hqq"})"), AllOf(HasSubstr("quant_method"), HasSubstr("got: hqq")));
  EXPECT_THAT(refusal("{}"), HasSubstr("quant_method"));
  EXPECT_THAT(refusal("[]"), HasSubstr("an object"));
  EXPECT_THAT(refusal(R"({"quant_method": 7})"), HasSubstr("quant_method"));
  EXPECT_THAT(refusal(R"({"quant_method": "gptq", "bits": 3})"),
              AllOf(HasSubstr("bits"), HasSubstr("got: 3")));
  EXPECT_THAT(refusal(R"({"quant_method": "gptq", "bits": "4"})"), HasSubstr("bits"));
  EXPECT_THAT(refusal(R"({"quant_method": "gptq", "group_size": 0})"), HasSubstr("group_size"));
  EXPECT_THAT(refusal(R"({"quant_method": "gptq", "group_size": -9000000000000000000})"),
              HasSubstr("group_size"));
  EXPECT_THAT(refusal(R"({"quant_method": "gptq", "checkpoint_format": "marlin"})"), HasSubstr("marlin"));
  EXPECT_THAT(refusal(R"({"quant_method": "awq", "version": "gemv"})"), HasSubstr("gemv"));
  EXPECT_THAT(refusal(R"({"quant_method": "awq", "bits": 8})"), HasSubstr("bits"));
  EXPECT_THAT(refusal(R"({"quant_method": "bitsandbytes", "load_in_4bit": true})"),
              AllOf(HasSubstr("load_in_4bit"), HasSubstr("nf4")));
  EXPECT_THAT(refusal(R"({"quant_method": "compressed-tensors", "format": "marlin-24"})"),
              HasSubstr("marlin-24"));
  EXPECT_THAT(refusal(R"({"quant_method": "fp8", "weight_block_size": [128]})"),
              HasSubstr("weight_block_size"));
  EXPECT_THAT(refusal(R"({"quant_method": "fp8", "weight_block_size": [128, 0]})"),
              HasSubstr("weight_block_size"));
}

}  // namespace
}  // namespace defectoscope
