// recipe as a user meets it: the file, where it goes, what is refused.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "forward/golden.h"
#include "program.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

std::string zoo(const char* name) { return (fs::path(DEFECTOSCOPE_SOURCE_DIR) / "zoo" / name).string(); }

class RecipeCommands : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("defectoscope-recipe-" + std::to_string(getpid()));
    quantized_ = folder_.string() + "-quantized";
    fs::remove_all(folder_);
    fs::remove_all(quantized_);
    make_folder(folder_);
  }
  void TearDown() override {
    fs::remove_all(folder_);
    fs::remove_all(quantized_);
  }
  Outcome run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "recipe");
    return run_defectoscope(arguments, {.folder = folder_});
  }
  void expect_refused(std::vector<std::string> arguments, int exit_code, const std::string& part) {
    arguments.insert(arguments.end(), {"--out", "recipe.txt"});
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.exit_code, exit_code) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(part));
    for (const auto& entry : fs::recursive_directory_iterator(folder_))
      EXPECT_FALSE(entry.is_regular_file()) << entry.path();
  }

  fs::path folder_, quantized_;
};

TEST_F(RecipeCommands, EveryToolHasOneForEveryModelOfTheZooItReads) {
  for (const char* tool : {"llm-compressor", "compressed-tensors", "bitsandbytes", "gptqmodel", "autoawq",
                           "torchao", "llama.cpp", "modelopt", "tensorrt-llm", "neural-compressor", "nncf"}) {
    const Outcome outcome = run({zoo("llama-base"), "--for", tool, "--skip", "2,5"});
    ASSERT_EQ(outcome.exit_code, 0) << tool << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("(layers 2, 5)")) << tool;
    EXPECT_FALSE(outcome.out.empty()) << tool;
  }
  EXPECT_TRUE(fs::is_empty(folder_));
  const Outcome gpt2 = run({zoo("gpt2-mini"), "--for", "torchao", "--skip", "1"});
  EXPECT_THAT(gpt2.out, HasSubstr("transformer.h.0.mlp.c_proj"));
  EXPECT_THAT(gpt2.err, HasSubstr("Conv1D"));
}

TEST_F(RecipeCommands, OfAMixtureF2OfEveryExpertIsNamedAndTheRouterToo) {
  const Golden golden = read_golden("mixtral");
  write_generated_model(folder_ / "mixtral", golden.config_json, golden.tensors, golden.seed, DType::kF32);
  const Outcome outcome = run({"mixtral", "--for", "compressed-tensors", "--skip", "2"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("model.layers.1.block_sparse_moe.experts.*.w2"));
  const json ignored = json::parse(outcome.out).at("ignore");
  EXPECT_THAT(ignored, testing::Contains(R"(re:^model\.layers\.\d+\.block_sparse_moe\.gate$)"));
  EXPECT_THAT(ignored, testing::Contains(R"(re:^model\.layers\.1\.block_sparse_moe\.experts\.\d+\.w2$)"));
  EXPECT_THAT(outcome.out, testing::Not(HasSubstr("w1")));
}

TEST_F(RecipeCommands, WithoutSkipTheLayersAreThoseThatWerePlanted) {
  write_file(folder_ / "text.txt", read_file(zoo("heldout.txt")).substr(0, 600));
  ASSERT_EQ(
      run_defectoscope({"phantom", "--out", "phantom", "--explosion", "3"}, {.folder = folder_}).exit_code,
      0);
  const json truth = json::parse(read_file(folder_ / "phantom/truth.json"));
  ASSERT_EQ(truth.at("explosion_layers"), json({3}));
  ASSERT_EQ(truth.at("decay_layers"), json({7}));
  const Outcome outcome = run(
      {"phantom", "--for", "bitsandbytes", "--text", "text.txt", "--threads", "1", "--out", "recipe.json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("(layers 3, 7, found by scan)"));
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(json::parse(read_file(folder_ / "recipe.json")).at("llm_int8_skip_modules"),
            json({"lm_head", "model.layers.2.mlp.down_proj", "model.layers.6.mlp.down_proj"}));
  EXPECT_FALSE(fs::exists(folder_ / "defectoscope-out"));  // nothing of the scan is left
}

TEST_F(RecipeCommands, AModelWithoutHighNormTokensHasNothingToSkip) {
  write_file(folder_ / "text.txt", read_file(zoo("heldout.txt")).substr(0, 600));
  ASSERT_EQ(
      run_defectoscope({"phantom", "--out", "phantom", "--variant", "none"}, {.folder = folder_}).exit_code,
      0);
  const Outcome outcome = run({"phantom", "--for", "bitsandbytes", "--text", "text.txt", "--threads", "1"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("no high-norm tokens in phantom: no layer is worth skipping"));
  EXPECT_EQ(json::parse(outcome.out).at("llm_int8_skip_modules"), json({"lm_head"}));
}

TEST_F(RecipeCommands, WhatCannotBeDoneIsSaid) {
  expect_refused({zoo("llama-base"), "--for", "gguf", "--skip", "2"}, 2, "nncf");
  expect_refused({zoo("llama-base"), "--skip", "2"}, 2, "--for");
  expect_refused({zoo("llama-base"), "--for", "nncf", "--skip", "2,7"}, 2, "layers 1 to 6");
  expect_refused({zoo("llama-base"), "--for", "nncf", "--skip", "0"}, 2, "no layer 0");
  fs::copy(zoo("llama-base"), quantized_, fs::copy_options::recursive);
  json config = json::parse(read_file(quantized_ / "config.json"));
  config["quantization_config"] = {{"quant_method", "bitsandbytes"}};
  write_file(quantized_ / "config.json", config.dump());
  expect_refused({quantized_.string(), "--for", "nncf", "--skip", "2"}, 3, "quantized already");
  expect_refused({"no-such-model", "--for", "nncf", "--skip", "2"}, 3, "no-such-model");
  expect_refused({zoo("llama-base"), "--for", "nncf", "--text", "none.txt"}, 3, "none.txt");
  const Outcome outcome =
      run({zoo("llama-base"), "--for", "nncf", "--skip", "2", "--out", "no-such-folder/recipe.json"});
  EXPECT_EQ(outcome.exit_code, 4) << outcome.err;
}

}  // namespace
}  // namespace defectoscope
