#include "checkpoint/checkpoint.h"

#include <gmock/gmock.h>

#include "base/files.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/test_files.h"

namespace defectoscope {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing_files::bad_input_message;
using testing_files::counting_tensor;
using testing_files::TemporaryFolder;

class CheckpointTest : public testing::Test {
 protected:
  void write(const char* file, const std::vector<Tensor>& tensors) {
    write_safetensors(folder_ / file, tensors);
  }
  void write_index(const std::string& weight_map) {
    write_file(folder_ / "model.safetensors.index.json",
               R"({"metadata": {"total_size": 1}, "weight_map": )" + weight_map + "}");
  }
  std::string refusal() {
    return bad_input_message([&] { open_checkpoint(folder_.path()); });
  }
  TemporaryFolder folder_;
};

TEST_F(CheckpointTest, ASingleFileIsReadInPlace) {
  write("model.safetensors", {counting_tensor("b", {2}), counting_tensor("a", {3})});
  const auto checkpoint = open_checkpoint(folder_.path());
  EXPECT_THAT(checkpoint->names(), ElementsAre("a", "b"));
  EXPECT_THAT(to_f32(*checkpoint->find("a")), ElementsAre(0, 1, 2));
  EXPECT_EQ(checkpoint->find("c"), std::nullopt);
  EXPECT_EQ(checkpoint->file_of("a"), folder_ / "model.safetensors");
  EXPECT_THAT(checkpoint->files(), ElementsAre(folder_ / "model.safetensors"));
}

TEST_F(CheckpointTest, ShardsAreReadByTheIndexAndOtherFilesAreNot) {
  write("model-1.safetensors", {counting_tensor("a", {2})});
  write("model-2.safetensors", {counting_tensor("b", {2}, 5)});
  write("consolidated.safetensors", {counting_tensor("a", {2}), counting_tensor("b", {2})});
  write_index(R"({"a": "model-1.safetensors", "b": "model-2.safetensors"})");
  const auto checkpoint = open_checkpoint(folder_.path());
  EXPECT_THAT(checkpoint->names(), ElementsAre("a", "b"));
  EXPECT_THAT(to_f32(*checkpoint->find("b")), ElementsAre(5, 6));
  EXPECT_EQ(checkpoint->file_of("b"), folder_ / "model-2.safetensors");
}

TEST_F(CheckpointTest, ShardsWithoutAnIndexAreReadWhereAllAreThere) {
  write("model-00001-of-00002.safetensors", {counting_tensor("a", {2})});
  EXPECT_THAT(refusal(), AllOf(HasSubstr("shard missing"), HasSubstr("model-00002-of-00002.safetensors")));
  write("model-00002-of-00002.safetensors", {counting_tensor("b", {2})});
  EXPECT_THAT(open_checkpoint(folder_.path())->names(), ElementsAre("a", "b"));
}

TEST_F(CheckpointTest, AMissingPathIsNamed) {
  EXPECT_THAT(bad_input_message([&] { open_checkpoint(folder_ / "none"); }),
              AllOf(HasSubstr("no such path"), HasSubstr((folder_ / "none").string())));
}

TEST_F(CheckpointTest, AFileInPlaceOfAFolderIsRefused) {
  write("model.safetensors", {counting_tensor("a", {2})});
  EXPECT_THAT(bad_input_message([&] { open_checkpoint(folder_ / "model.safetensors"); }),
              HasSubstr("not a folder"));
}

TEST_F(CheckpointTest, AnEmptyFolderSaysWhatItShouldHold) {
  EXPECT_THAT(refusal(), AllOf(HasSubstr("no weights in the folder"), HasSubstr(folder_.path().string()),
                               HasSubstr("expected: model.safetensors"), HasSubstr("got: no *.safetensors")));
}

TEST_F(CheckpointTest, AFolderWithOtherWeightsSaysSo) {
  write_file(folder_ / "consolidated.00.pth", "x");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("got: only consolidated.00.pth"), HasSubstr("save_pretrained")));
}

TEST_F(CheckpointTest, AnAdapterAloneIsNoModel) {
  write("adapter_model.safetensors", {counting_tensor("a", {2})});
  EXPECT_THAT(refusal(), HasSubstr("only adapter_model.safetensors"));
}

TEST_F(CheckpointTest, AShardOfTheIndexThatIsNotThereIsNamed) {
  write("model-1.safetensors", {counting_tensor("a", {2})});
  write_index(R"({"a": "model-1.safetensors", "b": "model-2.safetensors"})");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("shard missing"), HasSubstr("index.json"),
                               HasSubstr((folder_ / "model-2.safetensors").string()),
                               HasSubstr("download model-2.safetensors")));
}

TEST_F(CheckpointTest, ATensorOfTheIndexThatIsInNoShardIsNamed) {
  write("model-1.safetensors", {counting_tensor("a", {2})});
  write_index(R"({"a": "model-1.safetensors", "b": "model-1.safetensors"})");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("not in the shard"), HasSubstr("tensor: b"),
                               HasSubstr("got: in none of the shards")));
}

TEST_F(CheckpointTest, ATensorInAnotherShardThanTheIndexSaysIsNamed) {
  write("model-1.safetensors", {counting_tensor("a", {2})});
  write("model-2.safetensors", {counting_tensor("b", {2})});
  write_index(R"({"a": "model-2.safetensors", "b": "model-1.safetensors"})");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("tensor: a"), HasSubstr("model-2.safetensors"),
                               HasSubstr("got: in " + (folder_ / "model-1.safetensors").string())));
}

TEST_F(CheckpointTest, ATensorInTwoShardsIsRefused) {
  write("model-1.safetensors", {counting_tensor("a", {2})});
  write("model-2.safetensors", {counting_tensor("a", {2}), counting_tensor("b", {2})});
  write_index(R"({"a": "model-1.safetensors", "b": "model-2.safetensors"})");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("present in two files"), HasSubstr("tensor: a"),
                               HasSubstr("also in " + (folder_ / "model-1.safetensors").string())));
}

TEST_F(CheckpointTest, AShardNameThatLeadsOutOfTheFolderIsRefused) {
  std::filesystem::create_directory(folder_ / "inner");
  write("outside.safetensors", {counting_tensor("a", {2})});
  for (const std::string& name :
       {std::string("../outside.safetensors"), (folder_ / "outside.safetensors").string(), std::string(".."),
        std::string(""), std::string("a\\\\b.safetensors")}) {
    write_file(folder_ / "inner/model.safetensors.index.json", R"({"weight_map": {"a": ")" + name + "\"}}");
    EXPECT_THAT(bad_input_message([&] { open_checkpoint(folder_ / "inner"); }),
                AllOf(HasSubstr("tensor: a"), HasSubstr("the name of a file in the same folder")));
  }
}

TEST_F(CheckpointTest, AMalformedIndexIsRefused) {
  const auto refusal_of = [&](const char* text) {
    write_file(folder_ / "model.safetensors.index.json", text);
    return refusal();
  };
  EXPECT_THAT(refusal_of("{"), AllOf(HasSubstr("not valid JSON"), HasSubstr("index.json")));
  EXPECT_THAT(refusal_of("[]"), HasSubstr("weight_map"));
  EXPECT_THAT(refusal_of(R"({"weight_map": {}})"), HasSubstr("at least one tensor"));
  EXPECT_THAT(refusal_of(R"({"weight_map": {"a": 3}})"), AllOf(HasSubstr("tensor: a"), HasSubstr("got: 3")));
  EXPECT_THAT(refusal_of(R"({"weight_map": {"a": "x.bin"}})"), HasSubstr("a .safetensors file"));
  EXPECT_THAT(refusal_of(R"({"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}})"),
              HasSubstr("duplicate key"));
}

TEST_F(CheckpointTest, ATruncatedShardIsNamed) {
  write("model-1.safetensors", {counting_tensor("a", {64})});
  write("model-2.safetensors", {counting_tensor("b", {64})});
  write_index(R"({"a": "model-1.safetensors", "b": "model-2.safetensors"})");
  std::filesystem::resize_file(folder_ / "model-2.safetensors", 200);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("model-2.safetensors"), HasSubstr("outside the file"),
                               HasSubstr("tensor: b"), HasSubstr("cut off")));
}

}  // namespace
}  // namespace defectoscope
