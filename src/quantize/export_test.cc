#include "quantize/export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors.h"
#include "forward/golden.h"
#include "quantize/evaluation_text.h"
#include "quantize/simulated_linear.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf, ::testing::HasSubstr;

fs::path zoo(const char* name) { return fs::path(DEFECTOSCOPE_SOURCE_DIR) / "zoo" / name; }

class Export : public testing::Test {
 protected:
  Export()
      : folder_(fs::temp_directory_path() / ("defectoscope-export-" + std::to_string(getpid()))),
        model_(Model::open(zoo("llama-base"))) {
    fs::remove_all(folder_);
    text_ = read_evaluation_text(zoo("heldout.txt"), *open_tokenizer(model_.folder()), model_);
    maxima_ = calibrate(model_, text_.tokens, {.window = 32}, ComputeType::kF32);
  }
  ~Export() override { fs::remove_all(folder_); }

  QuantMethod method(const std::string& name, std::vector<Index> skip = {}) const {
    QuantMethod method = method_named(name);
    method.skipped = down_modules(model_, skip);
    return method;
  }
  Matrix logits(const Transformer& transformer) const {
    const TokenIds tokens(text_.tokens.begin(), text_.tokens.begin() + 32);
    const std::vector<Matrix> states = transformer.hidden_states(tokens);
    Matrix out(32, model_.config().vocab_size);
    transformer.logits(states.back().view(), out.view());
    return out;
  }
  std::string refusal(const Model& model, const QuantMethod& method) const {
    return refusal(model, method, folder_);
  }
  std::string refusal(const Model& model, const QuantMethod& method, const fs::path& folder) const {
    try {
      export_compressed_tensors(model, method, &maxima_, folder);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
      return error.what();
    }
    return "";
  }

  fs::path folder_;
  Model model_;
  EvaluationText text_;
  ActivationMaxima maxima_;
};

void expect_close(const Matrix& got, const Matrix& expected, double tolerance) {
  double largest = 0, difference = 0;
  for (Index i = 0; i < expected.rows() * expected.cols(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(expected.data()[i])));
    difference = std::max(difference, std::abs(static_cast<double>(got.data()[i]) - expected.data()[i]));
  }
  EXPECT_GT(largest, 1);
  EXPECT_LT(difference, tolerance * largest);
}

TEST_F(Export, OurReaderGivesTheSameLogitsBack) {
  for (const char* name : {"rtn", "per-token", "smoothquant"}) {
    SCOPED_TRACE(name);
    QuantMethod method = this->method(name, {1, 6});
    method.scheme.static_activations = method.scheme.activations == Granularity::kTensor;
    export_compressed_tensors(model_, method, &maxima_, folder_);
    const QuantizedModel direct(model_, method, &maxima_, 32, ComputeType::kF32);
    const Model back = Model::open(folder_);
    // Integers times steps are fixed points of the rounding: quantizing what was read changes nothing.
    ActivationMaxima maxima = maxima_;
    if (method.smooth) maxima = smoothed_maxima(maxima_, smooth(model_, maxima_, 0.5).groups);
    QuantMethod again = method;
    again.smooth = false;
    const QuantizedModel read(back, again, &maxima, 32, ComputeType::kF32);
    expect_close(logits(read.transformer()), logits(direct.transformer()), 1e-5);
    fs::remove_all(folder_);
  }
}

TEST_F(Export, FilesHoldTheIntegersStepsAndTheModulesLeftAlone) {
  QuantMethod method = this->method("rtn", {1});
  method.scheme.static_activations = true;
  export_compressed_tensors(model_, method, &maxima_, folder_);
  const auto json = nlohmann::json::parse(read_file(folder_ / "config.json"));
  const auto& config = json["quantization_config"];
  EXPECT_EQ(config["quant_method"], "compressed-tensors");
  EXPECT_EQ(config["ignore"], (nlohmann::json{"model.layers.0.mlp.down_proj", "lm_head"}));
  const auto& group = config["config_groups"]["group_0"];
  EXPECT_EQ(group["weights"]["strategy"], "tensor");
  EXPECT_EQ(group["input_activations"]["dynamic"], false);
  EXPECT_TRUE(fs::exists(folder_ / "tokenizer.json"));
  EXPECT_FALSE(fs::exists(folder_ / "README.md"));

  const auto file = SafetensorsFile::open(folder_ / "model.safetensors");
  const auto& tensors = file->tensors();
  EXPECT_EQ(tensors.at("model.layers.0.mlp.down_proj.weight").dtype, DType::kBF16);
  EXPECT_FALSE(tensors.contains("model.layers.0.mlp.down_proj.weight_scale"));
  EXPECT_EQ(tensors.at("lm_head.weight").dtype, DType::kBF16);
  const std::string name = "model.layers.2.mlp.up_proj";
  const Tensor& integers = tensors.at(name + ".weight");
  ASSERT_EQ(integers.dtype, DType::kI8);
  const float step = to_f32(tensors.at(name + ".weight_scale")).at(0);
  const float input = to_f32(tensors.at(name + ".input_scale")).at(0);
  EXPECT_FLOAT_EQ(input, maxima_.largest({2, Module::kUp}) / 127);
  const Matrix expected = simulated_weight(model_.layer(2).ffn.up.weight, rtn_scheme());
  const auto* stored = reinterpret_cast<const std::int8_t*>(integers.data);
  for (Index i = 0; i < expected.rows() * expected.cols(); ++i)
    ASSERT_EQ(static_cast<float>(stored[i]) * step, expected.data()[i]) << i;
}

TEST_F(Export, AFusedMatrixIsLeftAloneWholeOrNotAtAll) {
  const Golden golden = read_golden("phi3");
  const fs::path stored = folder_ / "phi3", out = folder_ / "out";
  write_generated_model(stored, golden.config_json, golden.tensors, golden.seed, DType::kF32);
  const Model phi3 = Model::open(stored);
  QuantMethod method = method_named("per-token");
  for (const auto& part :
       {ModuleSet{{0, Module::kQuery}}, ModuleSet{{0, Module::kKey}, {0, Module::kValue}}}) {
    method.skipped = part;
    EXPECT_THAT(refusal(phi3, method, out),
                AllOf(HasSubstr("model.layers.0.self_attn.qkv_proj.weight"), HasSubstr("layer 1 key"),
                      HasSubstr("all its parts left alone, or none")));
    EXPECT_FALSE(fs::exists(out));
  }
  method.skipped = {{0, Module::kQuery}, {0, Module::kKey}, {0, Module::kValue}};
  export_compressed_tensors(phi3, method, nullptr, out);
  EXPECT_EQ(nlohmann::json::parse(read_file(out / "config.json"))["quantization_config"]["ignore"],
            (nlohmann::json{"model.layers.0.self_attn.qkv_proj", "lm_head"}));
  const auto file = SafetensorsFile::open(out / "model.safetensors");
  const auto dtype = [&](const std::string& name) { return file->tensors().at(name + ".weight").dtype; };
  EXPECT_EQ(dtype("model.layers.0.self_attn.qkv_proj"), DType::kF32);
  EXPECT_EQ(dtype("model.layers.1.self_attn.qkv_proj"), DType::kI8);
  EXPECT_EQ(dtype("model.layers.0.mlp.gate_up_proj"), DType::kI8);
}

TEST_F(Export, WhatCannotBeWrittenIsRefusedAndLeavesNothing) {
  EXPECT_THAT(refusal(model_, method("fp8")), HasSubstr("8-bit integers"));
  EXPECT_THAT(refusal(model_, method("llm-int8")), HasSubstr("8-bit integers"));
  EXPECT_THAT(refusal(model_, method("none")), HasSubstr("unquantized"));
  EXPECT_THAT(refusal(Model::open(zoo("gpt2-mini")), method("rtn")), HasSubstr("Conv1D"));
  EXPECT_FALSE(fs::exists(folder_));
  make_folder(folder_);
  write_file(folder_ / "mine.txt", "kept");
  EXPECT_THAT(refusal(model_, method("rtn")), AllOf(HasSubstr("empty folder"), HasSubstr("holds files")));
  EXPECT_EQ(read_file(folder_ / "mine.txt"), "kept");
}

}  // namespace
}  // namespace defectoscope
