#include "hub/selection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/test_files.h"

namespace defectoscope {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing_files::bad_input_message;

std::vector<std::string> chosen(const std::vector<std::string>& paths,
                                const std::vector<std::string>& patterns = {}) {
  return select_files(paths, patterns, "org/name").files;
}

TEST(HubSelection, SafetensorsAreTakenBeforeEverythingElse) {
  EXPECT_THAT(chosen({".gitattributes", "README.md", "config.json", "consolidated.safetensors",
                      "flax_model.msgpack", "model.safetensors", "onnx/model.onnx",
                      "original/tokenizer.model", "pytorch_model.bin", "tokenizer.json", "tokenizer.model"}),
              ElementsAre("config.json", "model.safetensors", "tokenizer.json", "tokenizer.model"));
}

TEST(HubSelection, AnIndexIsTakenWithTheNameOfItsShardsToCome) {
  const Selection selection =
      select_files({"config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                    "model.safetensors.index.json"},
                   {}, "org/name");
  EXPECT_THAT(selection.files, ElementsAre("config.json", "model.safetensors.index.json"));
  EXPECT_EQ(selection.index, "model.safetensors.index.json");
}

TEST(HubSelection, PyTorchFilesAreTakenWhereThereAreNoSafetensors) {
  EXPECT_THAT(chosen({"config.json", "pytorch_model.bin", "training_args.bin"}),
              ElementsAre("config.json", "pytorch_model.bin"));
  EXPECT_EQ(
      select_files({"pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json"}, {}, "o/n").index,
      "pytorch_model.bin.index.json");
}

TEST(HubSelection, OneGgufIsTakenAndOfSeveralTheUserChooses) {
  EXPECT_THAT(chosen({"README.md", "m.Q8_0.gguf"}), ElementsAre("m.Q8_0.gguf"));
  EXPECT_THAT(bad_input_message([] { chosen({"m.Q4_0.gguf", "m.Q8_0.gguf"}); }), HasSubstr("--include"));
  EXPECT_THAT(chosen({"m.Q4_0.gguf", "m.Q8_0.gguf"}, {"*Q8_0*"}), ElementsAre("m.Q8_0.gguf"));
}

TEST(HubSelection, AnAdapterNeedsNoOtherWeights) {
  EXPECT_THAT(chosen({"README.md", "adapter_config.json", "adapter_model.safetensors"}),
              ElementsAre("adapter_config.json", "adapter_model.safetensors"));
}

TEST(HubSelection, PatternsMatchAcrossFoldersAsPythonsDo) {
  EXPECT_THAT(chosen({"a/b/x.json", "a/y.txt", "z.json"}, {"*.json"}), ElementsAre("a/b/x.json", "z.json"));
  EXPECT_THAT(chosen({"a/b/x.json", "a/y.txt", "z.json"}, {"a/*", "z.*"}),
              ElementsAre("a/b/x.json", "a/y.txt", "z.json"));
}

TEST(HubSelection, WhereNothingIsLeftItSaysWhatThereIs) {
  EXPECT_THAT(bad_input_message([] { chosen({"README.md", "tf_model.h5"}); }), HasSubstr("tf_model.h5"));
  EXPECT_THAT(bad_input_message([] { chosen({"README.md"}, {"*.bin"}); }), HasSubstr("--include"));
}

TEST(HubSelection, ShardsComeOnceEachAndStayInTheRepository) {
  EXPECT_THAT(shards_of(R"({"weight_map":{"a":"y","b":"x","c":"y"}})", "f"), ElementsAre("x", "y"));
  EXPECT_THAT(bad_input_message([] { shards_of(R"({"weight_map":{"a":"../../x"}})", "f"); }),
              HasSubstr("../../x"));
  EXPECT_THAT(bad_input_message([] { shards_of(R"({"weight_map":{"a":7}})", "f"); }),
              HasSubstr("weight_map"));
  EXPECT_THAT(bad_input_message([] { shards_of("{}", "f"); }), HasSubstr("weight_map"));
}

}  // namespace
}  // namespace defectoscope
