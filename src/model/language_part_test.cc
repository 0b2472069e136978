// Multimodal checkpoints: the language model within is the model.
#include "model/language_part.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "checkpoint/checkpoint.h"
#include "model/inspect.h"
#include "model/model.h"
#include "model/test_models.h"

namespace defectoscope {
namespace {

using nlohmann::json;
using testing_files::counting_tensor;
using testing_files::TemporaryFolder;
using namespace testing_models;

class LanguagePart : public testing::TestWithParam<std::pair<const char*, const char*>> {
 protected:
  TemporaryFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(Spellings, LanguagePart,
                         testing::Values(std::pair("language_model.", "language_model."),
                                         std::pair("model.language_model.", "")));

TEST_P(LanguagePart, OfAMultimodalCheckpointIsTheModel) {
  const auto [body, head] = GetParam();
  std::vector<Tensor> tensors = tensors_of(kLlama, "model.");
  const std::vector<Tensor> plain = tensors;
  for (Tensor& tensor : tensors) {
    const bool is_head = tensor.name.starts_with("lm_head");
    const bool drops_model = std::string_view(body) == "model.language_model.";
    tensor.name = is_head ? head + tensor.name : body + tensor.name.substr(drops_model ? 6 : 0);
  }
  tensors.push_back(counting_tensor("vision_tower.patch.weight", {4, 4}));
  const json config = {{"model_type", "some_vision_model"},
                       {"text_config", json::parse(kLlama)},
                       {"vision_config", {{"hidden_size", 4}}},
                       {"tie_word_embeddings", false}};
  write_model(folder_.path(), config.dump().c_str(), tensors);

  const Model model = Model::open(folder_.path());
  EXPECT_EQ(model.config().model_type, "llama");
  EXPECT_EQ(model.config().layers, 2);
  for (const Tensor& tensor : plain)
    EXPECT_EQ(to_f32(*model.checkpoint().find(tensor.name)), to_f32(tensor)) << tensor.name;
  EXPECT_FALSE(model.checkpoint().find("vision_tower.patch.weight"));
  EXPECT_TRUE(inspect_model(folder_.path()).usable());
}

TEST(LanguageConfig, IsNoneWhereTheModelIsALanguageModel) {
  EXPECT_FALSE(language_config(kLlama, "config.json"));
  EXPECT_FALSE(language_config("[]", "config.json"));
  EXPECT_FALSE(language_config(R"({"model_type": "llama", "text_config": null})", "config.json"));
}

}  // namespace
}  // namespace defectoscope
