#include "model/inspect.h"

#include <gmock/gmock.h>

#include "model/model.h"
#include "model/test_models.h"

namespace defectoscope {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing_files::counting_tensor;
using testing_files::TemporaryFolder;
using namespace testing_models;

TEST(Inspect, AWholeModelIsCountedAndUsable) {
  const TemporaryFolder folder;
  const std::vector<Tensor> tensors = tensors_of(kLlama, "model.");
  write_model(folder.path(), kLlama, tensors);
  write_file(folder / "tokenizer.json", "{}");
  const Inspection found = inspect_model(folder.path());
  Index parameters = 0;
  for (const Tensor& tensor : tensors) parameters += tensor.elements();
  EXPECT_TRUE(found.usable());
  EXPECT_EQ(found.family, "llama");
  EXPECT_EQ(found.config.layers, 2);
  EXPECT_EQ(found.parameters, parameters);
  EXPECT_EQ(found.bytes, 4 * parameters);
  ASSERT_EQ(found.dtypes.size(), 1u);
  EXPECT_EQ(found.dtypes[0].parameters, parameters);
  EXPECT_EQ(found.tensors.size(), tensors.size());
  ASSERT_EQ(found.files.size(), 1u);
  EXPECT_EQ(found.files[0].bytes,
            static_cast<Index>(std::filesystem::file_size(folder / "model.safetensors")));
  EXPECT_THAT(found.tokenizer_files, ElementsAre("tokenizer.json"));
  EXPECT_THAT(found.unknown, IsEmpty());
  EXPECT_EQ(found.fingerprint.size(), 64u);
  EXPECT_NE(found.fingerprint, inspect_model(folder.path(), true).fingerprint);
}

TEST(Inspect, WhatIsMissingMisshapenUnknownOrIgnoredIsListedNotThrown) {
  const TemporaryFolder folder;
  std::vector<Tensor> tensors = tensors_of(kQwen2, "model.");
  std::erase_if(tensors, [](const Tensor& t) { return t.name == "model.norm.weight"; });
  named(tensors, "model.layers.0.mlp.up_proj.weight").shape = {8, 12};
  named(tensors, "model.layers.1.mlp.up_proj.weight").dtype = DType::kI32;
  tensors.push_back(counting_tensor("lm_head.weight", {10, 8}));  // a stored copy of the tied head
  tensors.push_back(counting_tensor("model.layers.0.self_attn.rotary_emb.inv_freq", {2}));
  tensors.push_back(counting_tensor("model.layers.x.self_attn.rotary_emb.inv_freq", {2}));
  tensors.push_back(counting_tensor("model.layers.2.mlp.up_proj.weight", {12, 8}));
  write_model(folder.path(), kQwen2, tensors);
  const Inspection found = inspect_model(folder.path());
  EXPECT_FALSE(found.usable());
  ASSERT_EQ(found.missing.size(), 1u);
  EXPECT_EQ(found.missing[0].name, "model.norm.weight");
  EXPECT_THAT(found.missing[0].shape, ElementsAre(8));
  ASSERT_EQ(found.mismatched.size(), 1u);
  EXPECT_EQ(found.mismatched[0].name, "model.layers.0.mlp.up_proj.weight");
  EXPECT_THAT(found.mismatched[0].expected, ElementsAre(12, 8));
  EXPECT_THAT(found.mismatched[0].got, ElementsAre(8, 12));
  EXPECT_THAT(found.not_computable, ElementsAre("model.layers.1.mlp.up_proj.weight"));
  EXPECT_THAT(found.ignored, ElementsAre("lm_head.weight", "model.layers.0.self_attn.rotary_emb.inv_freq"));
  EXPECT_THAT(found.unknown, ElementsAre("model.layers.2.mlp.up_proj.weight",
                                         "model.layers.x.self_attn.rotary_emb.inv_freq"));
}

TEST(Inspect, IsUsableExactlyWhereTheModelOpens) {
  const TemporaryFolder folder;
  write_model(folder.path(), kGpt2, tensors_of(kGpt2, "transformer."));
  EXPECT_TRUE(inspect_model(folder.path()).usable());
  EXPECT_NO_THROW(Model::open(folder.path()));
  std::vector<Tensor> fewer = tensors_of(kGpt2, "transformer.");
  fewer.pop_back();
  write_model(folder.path(), kGpt2, fewer);
  EXPECT_FALSE(inspect_model(folder.path()).usable());
  EXPECT_THROW(Model::open(folder.path()), Error);
}

}  // namespace
}  // namespace defectoscope
