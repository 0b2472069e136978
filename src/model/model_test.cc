#include "model/model.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "checkpoint/checkpoint.h"
#include "model/test_models.h"

namespace defectoscope {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing_files::bad_input_message;
using testing_files::counting_tensor;
using testing_files::TemporaryFolder;
using namespace testing_models;

class ModelTest : public testing::Test {
 protected:
  Model open(const char* config, const std::vector<Tensor>& tensors) {
    write_model(folder_.path(), config, tensors);
    return Model::open(folder_.path());
  }
  std::string refusal(const char* config, const std::vector<Tensor>& tensors) {
    return bad_input_message([&] { open(config, tensors); });
  }
  TemporaryFolder folder_;
};

void expect_same(const WeightMatrix& matrix, const Tensor& tensor) {
  ASSERT_EQ(matrix.rows, tensor.shape[0]);
  ASSERT_EQ(matrix.cols, tensor.shape[1]);
  const std::vector<float> values = to_f32(tensor);
  for (Index r = 0; r < matrix.rows; ++r)
    for (Index c = 0; c < matrix.cols; ++c)
      ASSERT_EQ(matrix.at(r, c), values[static_cast<std::size_t>(r * matrix.cols + c)]) << matrix.name;
}

TEST_F(ModelTest, ALlamasWeightsAreThoseOfTheFileInPlace) {
  std::vector<Tensor> tensors = tensors_of(kLlama, "model.");
  const Model model = open(kLlama, tensors);
  const LayerWeights layer = model.layer(1);
  expect_same(layer.attention.query.weight, named(tensors, "model.layers.1.self_attn.q_proj.weight"));
  expect_same(layer.attention.key.weight, named(tensors, "model.layers.1.self_attn.k_proj.weight"));
  expect_same(layer.attention.value.weight, named(tensors, "model.layers.1.self_attn.v_proj.weight"));
  expect_same(layer.attention.output.weight, named(tensors, "model.layers.1.self_attn.o_proj.weight"));
  expect_same(layer.ffn.gate.weight, named(tensors, "model.layers.1.mlp.gate_proj.weight"));
  expect_same(layer.ffn.up.weight, named(tensors, "model.layers.1.mlp.up_proj.weight"));
  expect_same(layer.ffn.down.weight, named(tensors, "model.layers.1.mlp.down_proj.weight"));
  expect_same(model.embedding(), named(tensors, "model.embed_tokens.weight"));
  expect_same(model.lm_head(), named(tensors, "lm_head.weight"));
  EXPECT_EQ(layer.attention_norm.gain, to_f32(named(tensors, "model.layers.1.input_layernorm.weight")));
  EXPECT_EQ(layer.ffn_norm.gain, to_f32(named(tensors, "model.layers.1.post_attention_layernorm.weight")));
  EXPECT_EQ(model.final_norm().gain, to_f32(named(tensors, "model.norm.weight")));
  EXPECT_THAT(layer.attention_norm.shift, IsEmpty());
  EXPECT_THAT(layer.attention.query.bias, IsEmpty());
  EXPECT_FALSE(layer.attention_post_norm.defined() || layer.attention.query_norm.defined());
  EXPECT_FALSE(model.position_embedding().defined());
  EXPECT_EQ(layer.ffn.up.weight.data, model.checkpoint().find("model.layers.1.mlp.up_proj.weight")->data);
  EXPECT_EQ(model.name(), folder_.path().filename().string());
}

TEST_F(ModelTest, BiasesAreUsedWhereverTheCheckpointHasThem) {
  std::vector<Tensor> tensors = tensors_of(kLlama, "model.", true);
  const LayerWeights layer = open(kLlama, tensors).layer(0);
  EXPECT_EQ(layer.attention.query.bias, to_f32(named(tensors, "model.layers.0.self_attn.q_proj.bias")));
  EXPECT_EQ(layer.attention.output.bias, to_f32(named(tensors, "model.layers.0.self_attn.o_proj.bias")));
  EXPECT_EQ(layer.ffn.down.bias, to_f32(named(tensors, "model.layers.0.mlp.down_proj.bias")));
}

TEST_F(ModelTest, Qwen2WithoutItsBiasesIsRefusedAndItsTiedHeadIsTheEmbedding) {
  std::vector<Tensor> tensors = tensors_of(kQwen2, "model.");
  const Model model = open(kQwen2, tensors);
  EXPECT_EQ(model.layer(0).attention.key.bias,
            to_f32(named(tensors, "model.layers.0.self_attn.k_proj.bias")));
  EXPECT_THAT(model.layer(0).attention.output.bias, IsEmpty());
  expect_same(model.lm_head(), named(tensors, "model.embed_tokens.weight"));
  std::erase_if(tensors, [](const Tensor& t) { return t.name == "model.layers.1.self_attn.v_proj.bias"; });
  EXPECT_THAT(refusal(kQwen2, tensors),
              AllOf(HasSubstr("tensor missing"), HasSubstr("v_proj.bias"), HasSubstr("expected: [4]"),
                    HasSubstr(folder_.path().string())));
}

TEST_F(ModelTest, Gpt2sTransposedAndFusedMatricesComeOutAsRowsPerOutput) {
  for (const std::string prefix : {"transformer.", ""}) {
    std::vector<Tensor> tensors = tensors_of(kGpt2, prefix);
    const Model model = open(kGpt2, tensors);
    const LayerWeights layer = model.layer(1);
    const std::vector<float> fused = to_f32(named(tensors, prefix + "h.1.attn.c_attn.weight"));  // [8, 24]
    const std::vector<float> bias = to_f32(named(tensors, prefix + "h.1.attn.c_attn.bias"));
    const LinearWeights* const parts[] = {&layer.attention.query, &layer.attention.key,
                                          &layer.attention.value};
    for (Index part = 0; part < 3; ++part) {
      ASSERT_EQ(parts[part]->weight.rows, 8);
      for (Index out = 0; out < 8; ++out) {
        EXPECT_EQ(parts[part]->bias[static_cast<std::size_t>(out)],
                  bias[static_cast<std::size_t>(8 * part + out)]);
        for (Index in = 0; in < 8; ++in)
          ASSERT_EQ(parts[part]->weight.at(out, in),
                    fused[static_cast<std::size_t>(in * 24 + 8 * part + out)]);
      }
    }
    const std::vector<float> down = to_f32(named(tensors, prefix + "h.1.mlp.c_proj.weight"));  // [32, 8]
    EXPECT_EQ(layer.ffn.down.weight.rows, 8);
    EXPECT_EQ(layer.ffn.down.weight.cols, 32);
    EXPECT_EQ(layer.ffn.down.weight.at(3, 17), down[17 * 8 + 3]);
    EXPECT_FALSE(layer.ffn.gate.weight.defined());
    EXPECT_EQ(layer.ffn_norm.shift, to_f32(named(tensors, prefix + "h.1.ln_2.bias")));
    expect_same(model.position_embedding(), named(tensors, prefix + "wpe.weight"));
    expect_same(model.lm_head(), named(tensors, prefix + "wte.weight"));
  }
}

TEST_F(ModelTest, MasksAndTablesStoredBesideTheWeightsDoNotDisturb) {
  std::vector<Tensor> tensors = tensors_of(kGpt2, "");
  tensors.push_back(counting_tensor("h.0.attn.bias", {1, 1, 16, 16}));
  EXPECT_NO_THROW(open(kGpt2, tensors));
}

TEST_F(ModelTest, ABareBodyOpensButHasNoHead) {
  const Model model = open(kLlama, tensors_of(kLlama, ""));
  EXPECT_EQ(model.layer(0).ffn.up.weight.name, "layers.0.mlp.up_proj.weight");
  EXPECT_THAT(bad_input_message([&] { (void)model.lm_head(); }),
              AllOf(HasSubstr("no LM head"), HasSubstr("lm_head.weight")));
}

TEST_F(ModelTest, AnUntiedModelWithoutItsHeadIsRefused) {
  std::vector<Tensor> tensors = tensors_of(kLlama, "model.");
  std::erase_if(tensors, [](const Tensor& t) { return t.name == "lm_head.weight"; });
  EXPECT_THAT(refusal(kLlama, tensors), AllOf(HasSubstr("tensor missing"), HasSubstr("lm_head.weight")));
}

TEST_F(ModelTest, AMatrixOfAnotherShapeThanTheConfigImpliesIsNamed) {
  std::vector<Tensor> tensors = tensors_of(kLlama, "model.");
  named(tensors, "model.layers.1.mlp.down_proj.weight").shape = {12, 8};
  EXPECT_THAT(refusal(kLlama, tensors),
              AllOf(HasSubstr("another shape"), HasSubstr((folder_ / "model.safetensors").string()),
                    HasSubstr("tensor: model.layers.1.mlp.down_proj.weight"), HasSubstr("expected: [8, 12]"),
                    HasSubstr("got: [12, 8]")));
}

TEST_F(ModelTest, AMatrixOfIntegersIsRefused) {
  std::vector<Tensor> tensors = tensors_of(kLlama, "model.");
  named(tensors, "model.layers.0.mlp.up_proj.weight").dtype = DType::kI32;
  EXPECT_THAT(refusal(kLlama, tensors),
              AllOf(HasSubstr("dtype not supported"), HasSubstr("tensor: model.layers.0.mlp.up_proj.weight"),
                    HasSubstr("expected: f32, f16 or bf16"), HasSubstr("got: i32")));
}

TEST_F(ModelTest, AFolderWithoutConfigIsRefused) {
  write_safetensors(folder_ / "model.safetensors", tensors_of(kLlama, "model."));
  EXPECT_THAT(bad_input_message([&] { Model::open(folder_.path()); }),
              HasSubstr((folder_ / "config.json").string()));
}

TEST_F(ModelTest, AWeightOffItsTypesAlignmentIsReadAllTheSame) {
  std::vector<Tensor> tensors = tensors_of(kLlama, "model.");
  Tensor byte = counting_tensor("model.layers.0.self_attn.rotary_emb.inv_freq", {1});
  byte.dtype = DType::kU8;
  tensors.insert(tensors.begin(), byte);
  const Model model = open(kLlama, tensors);
  const WeightMatrix weight = model.layer(0).ffn.up.weight;
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(weight.data) % 4, 0u);
  expect_same(weight, named(tensors, "model.layers.0.mlp.up_proj.weight"));
}

/// kLlama with one element of one tensor replaced.
std::vector<Tensor> damaged(const std::string& name, std::size_t position, float value) {
  std::vector<Tensor> tensors = tensors_of(kLlama, "model.");
  Tensor& tensor = named(tensors, name);
  const auto values = std::make_shared<std::vector<float>>(to_f32(tensor));
  values->at(position) = value;
  tensor.data = reinterpret_cast<const std::byte*>(values->data());
  tensor.owner = values;
  return tensors;
}

TEST_F(ModelTest, ANonFiniteWeightIsNamedWithItsPlace) {
  EXPECT_NO_THROW(open(kLlama, tensors_of(kLlama, "model.")).check_finite());
  const Model with_nan =
      open(kLlama, damaged("model.layers.1.mlp.up_proj.weight", 21, std::numeric_limits<float>::quiet_NaN()));
  EXPECT_THAT(bad_input_message([&] { with_nan.check_finite(); }),
              AllOf(HasSubstr("not finite"), HasSubstr((folder_ / "model.safetensors").string()),
                    HasSubstr("tensor: model.layers.1.mlp.up_proj.weight"), HasSubstr("nan at [2, 5]")));
  const Model with_infinity =
      open(kLlama, damaged("lm_head.weight", 0, -std::numeric_limits<float>::infinity()));
  EXPECT_THAT(bad_input_message([&] { with_infinity.check_finite(); }),
              AllOf(HasSubstr("tensor: lm_head.weight"), HasSubstr("-inf at [0, 0]")));
}

TEST_F(ModelTest, HalfPrecisionIsCheckedForWhatIsNotFinite) {
  for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF64}) {
    std::vector<Tensor> tensors = tensors_of(kLlama, "model.");
    tensors.push_back(counting_tensor("extra", {2, 2}));
    const auto bytes = std::make_shared<std::vector<std::byte>>(32, std::byte{0x3c});
    const auto size = static_cast<std::size_t>(dtype_size(dtype));
    bytes->at(3 * size - 1) = std::byte{0xff};  // sign, exponent and all
    bytes->at(3 * size - 2) = std::byte{0xf0};
    tensors.back().dtype = dtype;
    tensors.back().data = bytes->data();
    tensors.back().owner = bytes;
    const Model model = open(kLlama, tensors);
    EXPECT_THAT(bad_input_message([&] { model.check_finite(); }),
                AllOf(HasSubstr("tensor: extra"), HasSubstr("at [1, 0]")));
  }
}

TEST_F(ModelTest, ANonFiniteGainIsFoundWhenItsLayerIsRead) {
  const Model model = open(
      kLlama, damaged("model.layers.1.input_layernorm.weight", 3, std::numeric_limits<float>::infinity()));
  EXPECT_NO_THROW(model.layer(0));
  EXPECT_THAT(bad_input_message([&] { model.layer(1); }),
              AllOf(HasSubstr("tensor: model.layers.1.input_layernorm.weight"), HasSubstr("inf at [3]")));
}

}  // namespace
}  // namespace defectoscope
