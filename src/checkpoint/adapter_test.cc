// Merged LoRA adapters, held to PEFT's merge_and_unload (tools/golden_adapter.py).
#include "checkpoint/adapter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/test_files.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing_files::bad_input_message;
using testing_files::counting_tensor;
using testing_files::TemporaryFolder;

const fs::path kData = DEFECTOSCOPE_SOURCE_DIR "/src/checkpoint/testdata";

class AdapterTest : public testing::Test {
 protected:
  /// The base model of a case, in a folder of its own.
  std::shared_ptr<const Checkpoint> base(const std::string& name) {
    fs::copy_file(kData / (name + "_base.safetensors"), folder_ / "model.safetensors",
                  fs::copy_options::overwrite_existing);
    return open_checkpoint(folder_.path());
  }
  /// The message with which a changed copy of the first case's adapter is refused.
  std::string refusal(const std::function<void(nlohmann::json&)>& settings,
                      const std::vector<Tensor>& tensors) {
    const fs::path folder = folder_ / "adapter";
    make_folder(folder);
    auto config = nlohmann::json::parse(read_file(kData / "lora_adapter" / "adapter_config.json"));
    settings(config);
    write_file(folder / "adapter_config.json", config.dump());
    write_safetensors(folder / "adapter_model.safetensors", tensors);
    return bad_input_message([&] { with_adapter(base("lora"), folder); });
  }
  TemporaryFolder folder_;
};

class AdapterGolden : public AdapterTest, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Cases, AdapterGolden, testing::Values("lora", "lora_gpt2"));

TEST_P(AdapterGolden, MergesAsPeftDoes) {
  const std::string name = GetParam();
  const auto plain = base(name);
  const auto merged = with_adapter(plain, kData / (name + "_adapter"));
  const auto expected = SafetensorsFile::open(kData / (name + "_merged.safetensors"));
  EXPECT_EQ(merged->names(), plain->names());
  for (const std::string& tensor : plain->names()) {
    const auto changed = expected->tensors().find(tensor);
    if (changed == expected->tensors().end()) {
      EXPECT_EQ(merged->find(tensor)->data, plain->find(tensor)->data) << tensor << " is not in place";
      continue;
    }
    const std::vector<float> got = to_f32(*merged->find(tensor)), wanted = to_f32(changed->second);
    ASSERT_EQ(got.size(), wanted.size());
    for (std::size_t i = 0; i < got.size(); ++i)
      ASSERT_NEAR(got[i], wanted[i], 1e-6 * (1 + std::abs(wanted[i]))) << tensor << " [" << i << "]";
  }
  EXPECT_NE(fingerprint(*merged), fingerprint(*plain));
}

const std::string kDown = "base_model.model.model.layers.0.mlp.down_proj.lora_A.weight";
const std::string kUp = "base_model.model.model.layers.0.mlp.down_proj.lora_B.weight";

TEST_F(AdapterTest, WhatCannotBeMergedIsRefusedByName) {
  const auto nothing = [](nlohmann::json&) {};
  const Tensor down = counting_tensor(kDown, {3, 20}), up = counting_tensor(kUp, {12, 3});
  EXPECT_THAT(refusal([](auto& config) { config["peft_type"] = "IA3"; }, {down, up}), HasSubstr("IA3"));
  EXPECT_THAT(refusal([](auto& config) { config["use_dora"] = true; }, {down, up}), HasSubstr("use_dora"));
  EXPECT_THAT(refusal([](auto& config) { config["lora_alpha"] = 0; }, {down, up}), HasSubstr("lora_alpha"));
  EXPECT_THAT(refusal([](auto& config) { config["rank_pattern"] = {{"(", 2}}; }, {down, up}),
              HasSubstr("rank_pattern"));
  EXPECT_THAT(refusal(nothing, {down}), HasSubstr("half of a pair"));
  EXPECT_THAT(refusal(nothing, {up}), HasSubstr("half of a pair"));
  EXPECT_THAT(refusal(nothing, {counting_tensor(kDown, {2, 20}), up}), HasSubstr("do not fit each other"));
  EXPECT_THAT(refusal(nothing, {counting_tensor(kDown, {4, 20}), counting_tensor(kUp, {12, 4})}),
              HasSubstr("lora_A"));
  EXPECT_THAT(refusal(nothing, {counting_tensor(kDown, {3, 21}), up}), HasSubstr("does not fit the model"));
  EXPECT_THAT(refusal(nothing, {counting_tensor("base_model.model.model.layers.9.x.lora_A.weight", {3, 20}),
                                counting_tensor("base_model.model.model.layers.9.x.lora_B.weight", {12, 3})}),
              HasSubstr("model lacks"));
  EXPECT_THAT(bad_input_message([&] { with_adapter(base("lora"), folder_.path()); }),
              HasSubstr("adapter_config.json"));
}

}  // namespace
}  // namespace defectoscope
