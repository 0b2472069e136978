// Every kind of bad input the program documents, through its command line: one message, the documented exit
// code, nothing half-written.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "base/files.h"
#include "program.h"
#include "small_phantom.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

fs::path scratch() {
  return fs::temp_directory_path() / ("defectoscope-bad-input-" + std::to_string(getpid()));
}

class BadInput : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    fs::remove_all(scratch());
    make_folder(scratch());
    write_phantom(small_phantom(), scratch() / "good");
    PhantomOptions sharded = small_phantom();
    sharded.shard_bytes = 1 << 20;
    write_phantom(sharded, scratch() / "sharded");
    write_file(scratch() / "text.txt", "the quick brown fox .\njumps over the lazy dog .\n");
  }
  static void TearDownTestSuite() { fs::remove_all(scratch()); }

  void SetUp() override {
    folder_ = scratch() / "model";
    out_ = scratch() / "out";
    fs::remove_all(folder_);
    fs::remove_all(out_);
    fs::copy(scratch() / "good", folder_, fs::copy_options::recursive);
  }

  fs::path weights() const { return folder_ / "model.safetensors"; }

  /// Scans folder_ and checks the exit code, that the message names what it must, and that no result is
  /// there.
  void expect_refused(int exit_code, const std::vector<std::string>& named,
                      std::vector<std::string> more = {}) {
    std::vector<std::string> arguments{"scan", folder_.string(), "--out", out_.string(), "--rows", "4"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = run_defectoscope(arguments);
    EXPECT_EQ(outcome.exit_code, exit_code) << outcome.err;
    EXPECT_THAT(outcome.err, testing::StartsWith("defectoscope: "));
    for (const std::string& part : named) EXPECT_THAT(outcome.err, HasSubstr(part));
    EXPECT_FALSE(fs::exists(out_ / "results.json"));
  }

  /// Rewrites the header of the weights; offsets and data stay.
  void edit_header(const std::function<std::string(nlohmann::ordered_json)>& edit) {
    const std::string old = read_file(weights());
    std::uint64_t length = 0;
    std::memcpy(&length, old.data(), 8);
    const std::string header = edit(nlohmann::ordered_json::parse(old.substr(8, length)));
    const std::uint64_t new_length = header.size();
    std::string file(reinterpret_cast<const char*>(&new_length), 8);
    write_file(weights(), file + header + old.substr(8 + length));
  }

  void edit_config(const std::function<void(nlohmann::ordered_json&)>& edit) {
    auto config = nlohmann::ordered_json::parse(read_file(folder_ / "config.json"));
    edit(config);
    write_file(folder_ / "config.json", config.dump());
  }

  fs::path folder_, out_;
};

constexpr const char* kTensor = "model.layers.1.mlp.down_proj.weight";

TEST_F(BadInput, TheUndamagedModelIsScanned) {
  const Outcome outcome = run_defectoscope({"scan", folder_.string(), "--out", out_.string(), "--rows", "4"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_TRUE(fs::exists(out_ / "results.json"));
}

TEST_F(BadInput, NoSuchPath) {
  folder_ = scratch() / "nowhere";
  expect_refused(3, {"no such model", "nowhere"});
}

TEST_F(BadInput, EmptyFolder) {
  fs::remove_all(folder_);
  make_folder(folder_);
  expect_refused(3, {"config.json"});
}

TEST_F(BadInput, AFileInPlaceOfTheFolder) {
  folder_ = weights();
  expect_refused(3, {"not a model's file", "a .gguf file"});
}

TEST_F(BadInput, TruncatedWeights) {
  fs::resize_file(weights(), fs::file_size(weights()) - 1000);
  expect_refused(3, {"model.safetensors", "expected", "got"});
}

TEST_F(BadInput, HeaderLongerThanTheFile) {
  std::fstream file(weights(), std::ios::in | std::ios::out | std::ios::binary);
  const std::uint64_t length = 90'000'000;
  file.write(reinterpret_cast<const char*>(&length), 8);
  file.close();
  expect_refused(3, {"model.safetensors", "header"});
}

TEST_F(BadInput, AHeaderOfOneGigabyteClaimed) {
  std::fstream file(weights(), std::ios::in | std::ios::out | std::ios::binary);
  const std::uint64_t length = 1'000'000'000;
  file.write(reinterpret_cast<const char*>(&length), 8);
  file.close();
  expect_refused(3, {"model.safetensors", "header"});
}

TEST_F(BadInput, OverlappingOffsets) {
  edit_header([](nlohmann::ordered_json header) {
    header[kTensor]["data_offsets"] = header["model.layers.0.mlp.down_proj.weight"]["data_offsets"];
    return header.dump();
  });
  expect_refused(3, {"model.safetensors", "down_proj"});
}

TEST_F(BadInput, OffsetsOutOfRange) {
  edit_header([](nlohmann::ordered_json header) {
    const std::uint64_t begin = header[kTensor]["data_offsets"][0];
    const std::uint64_t end = header[kTensor]["data_offsets"][1];
    header[kTensor]["data_offsets"] = {begin + (1ull << 40), end + (1ull << 40)};
    return header.dump();
  });
  expect_refused(3, {"model.safetensors", kTensor});
}

TEST_F(BadInput, DuplicateKeysInTheHeader) {
  edit_header([](nlohmann::ordered_json header) {
    std::string text = header.dump();
    text.pop_back();
    return text + ",\"" + kTensor + "\":" + header[kTensor].dump() + "}";
  });
  expect_refused(3, {"model.safetensors", kTensor});
}

TEST_F(BadInput, WrongDtype) {
  edit_header([](nlohmann::ordered_json header) {
    header[kTensor]["dtype"] = "I32";
    return header.dump();
  });
  expect_refused(3, {kTensor, "i32"});
}

TEST_F(BadInput, WrongShape) {
  edit_header([](nlohmann::ordered_json header) {
    header[kTensor]["shape"] = {512, 192};
    return header.dump();
  });
  expect_refused(3, {kTensor, "[192, 512]", "[512, 192]"});
}

TEST_F(BadInput, AMissingTensorIsNamed) {
  edit_header([](nlohmann::ordered_json header) {
    const auto entry = header[kTensor];
    header.erase(kTensor);
    header["other"] = entry;
    return header.dump();
  });
  expect_refused(3, {kTensor});
}

TEST_F(BadInput, ShardMissingFromTheFolder) {
  fs::remove_all(folder_);
  fs::copy(scratch() / "sharded", folder_, fs::copy_options::recursive);
  std::string gone;
  for (const auto& entry : fs::directory_iterator(folder_))
    if (entry.path().filename().string().starts_with("model-00002")) gone = entry.path().filename().string();
  ASSERT_FALSE(gone.empty());
  fs::remove(folder_ / gone);
  expect_refused(3, {gone});
}

TEST_F(BadInput, UnknownFamilyListsTheKnownOnes) {
  edit_config([](auto& config) { config["model_type"] = "perceptron"; });
  expect_refused(3, {"perceptron", "llama", "gpt2"});
}

TEST_F(BadInput, ConfigWithoutANeededKey) {
  edit_config([](auto& config) { config.erase("num_attention_heads"); });
  expect_refused(3, {"config.json", "num_attention_heads"});
}

TEST_F(BadInput, ConfigThatIsNoJson) {
  write_file(folder_ / "config.json", "{\"model_type\": ");
  expect_refused(3, {"config.json"});
}

TEST_F(BadInput, DuplicateKeysInTheConfig) {
  std::string text = read_file(folder_ / "config.json");
  text.insert(text.find('{') + 1, "\"hidden_size\": 64,");
  write_file(folder_ / "config.json", text);
  expect_refused(3, {"config.json", "hidden_size"});
}

TEST_F(BadInput, TokenizerLargerThanTheEmbedding) {
  auto tokenizer = nlohmann::ordered_json::parse(read_file(folder_ / "tokenizer.json"));
  tokenizer["added_tokens"].push_back({{"id", 100000},
                                       {"content", "<far>"},
                                       {"single_word", false},
                                       {"lstrip", false},
                                       {"rstrip", false},
                                       {"normalized", false},
                                       {"special", true}});
  write_file(folder_ / "tokenizer.json", tokenizer.dump());
  expect_refused(3, {"tokenizer", "embed_tokens", "384"});
}

TEST_F(BadInput, TokenizerThatIsNone) {
  write_file(folder_ / "tokenizer.json", "[]");
  expect_refused(3, {"tokenizer.json"});
}

TEST_F(BadInput, NoTokenizerAtAll) {
  fs::remove(folder_ / "tokenizer.json");
  expect_refused(3, {"tokenizer"});
}

TEST_F(BadInput, NotANumberInTheWeightsIsNamed) {
  const std::string bytes = read_file(weights());
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  const auto header = nlohmann::json::parse(bytes.substr(8, length));
  const std::uint64_t begin = header[kTensor]["data_offsets"][0];
  std::fstream file(weights(), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(8 + length + begin + 4 * 777));
  const std::uint32_t nan = 0x7fc00000;
  file.write(reinterpret_cast<const char*>(&nan), 4);
  file.close();
  expect_refused(3, {kTensor, "nan"});
}

TEST_F(BadInput, TextThatIsNotUtf8) {
  write_file(scratch() / "latin1.txt", "caf\xe9 au lait\n");
  expect_refused(3, {"latin1.txt", "UTF-8"}, {"--text", (scratch() / "latin1.txt").string()});
}

TEST_F(BadInput, EmptyText) {
  write_file(scratch() / "empty.txt", " \n\n");
  expect_refused(3, {"empty.txt"}, {"--text", (scratch() / "empty.txt").string()});
}

TEST_F(BadInput, NoSuchText) { expect_refused(3, {"no-text.txt"}, {"--text", "no-text.txt"}); }

TEST_F(BadInput, ATextShorterThanAskedIsUsedAndTheReaderTold) {
  const Outcome outcome = run_defectoscope({"scan", folder_.string(), "--out", out_.string(), "--rows", "50",
                                            "--text", (scratch() / "text.txt").string()});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("The text has 2 rows; 50 were asked for."));
}

TEST_F(BadInput, LayersThatAreNotThereAreRefusedByEveryProbe) {
  for (const char* probe : {"census", "trigger", "ablate"})
    for (const char* layer : {"0", "5", "2,-1"}) {
      const Outcome outcome = run_defectoscope(
          {probe, folder_.string(), "--out", out_.string(), "--rows", "4", "--layers", layer});
      EXPECT_EQ(outcome.exit_code, 2) << probe << layer;
      EXPECT_THAT(outcome.err, AllOf(HasSubstr("--layers"), HasSubstr("1 to 4"), HasSubstr("count from 1")));
      EXPECT_FALSE(fs::exists(out_ / (std::string(probe) + ".json")));
    }
}

TEST_F(BadInput, ATokenThatIsNotInTheVocabularyIsRefusedByNameAndByNumber) {
  for (const char* token : {"no such token", "384", "-1", "7x"}) {
    const Outcome outcome = run_defectoscope(
        {"trigger", folder_.string(), "--out", out_.string(), "--rows", "4", "--first-token", token});
    EXPECT_EQ(outcome.exit_code, 2) << token;
    EXPECT_THAT(outcome.err, AllOf(HasSubstr(token), HasSubstr("0 to 383")));
  }
}

/// The phantom's planted newline and 'n' exchange their entries with bytes that cannot be printed, and one
/// more planted token gets a second name.
TEST_F(BadInput, AVocabularyWithDuplicatesAndUnprintableBytesIsNamedReadably) {
  auto tokenizer = nlohmann::ordered_json::parse(read_file(folder_ / "tokenizer.json"));
  auto& vocabulary = tokenizer["model"]["vocab"];
  const auto truth = nlohmann::json::parse(read_file(folder_ / "truth.json"));
  std::vector<std::string> planted;
  std::set<int> ids;
  for (const auto& token : truth["spike_tokens"]) {
    planted.push_back(token["token"]);
    ids.insert(token["id"].get<int>());
  }
  ASSERT_GE(planted.size(), 3U);
  const std::string null_byte = "\u0100",
                    part_of_a_letter = "\u00e4";  // as byte-level vocabularies spell them
  std::swap(vocabulary[planted[0]], vocabulary[null_byte]);
  std::swap(vocabulary[planted[1]], vocabulary[part_of_a_letter]);
  vocabulary["second-name"] = vocabulary[planted[2]];
  std::string text = tokenizer.dump();
  // And one name twice, as JSON allows.
  text.insert(text.find("\"vocab\":{") + 9, "\"second-name\":5,");
  write_file(folder_ / "tokenizer.json", text);
  const Outcome outcome =
      run_defectoscope({"census", folder_.string(), "--out", out_.string(), "--rows", "4"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  std::set<int> found;
  std::set<std::string> names;
  const auto census = nlohmann::json::parse(read_file(out_ / "census.json"));
  for (const auto& spike : census["layers"][0]["spikes"]) {
    found.insert(spike["id"].get<int>());
    const std::string name = spike["token"];
    names.insert(name);
    EXPECT_TRUE(std::ranges::none_of(name, [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; })) << name;
  }
  EXPECT_EQ(found, ids) << "entries are told apart by number, whatever their names";
  EXPECT_TRUE(names.contains("<0x00>")) << testing::PrintToString(names);
  EXPECT_TRUE(names.contains("<0xE4>")) << testing::PrintToString(names);
  EXPECT_TRUE(fs::exists(out_ / "figures/census-without-attention-2.svg"));
}

TEST_F(BadInput, OutputFolderThatCannotBeMade) {
  out_ = scratch() / "text.txt" / "below";
  expect_refused(4, {"below"});
}

TEST_F(BadInput, AFullDiskKeepsTheOldResults) {
  make_folder(out_);
  write_file(out_ / "results.json", "old");
  const Outcome outcome = run_defectoscope({"scan", folder_.string(), "--out", out_.string(), "--rows", "4"},
                                           {.folder = {}, .file_limit = 3000});
  EXPECT_EQ(outcome.exit_code, 4) << outcome.err;
  EXPECT_EQ(read_file(out_ / "results.json"), "old");
  for (const auto& entry : fs::recursive_directory_iterator(out_))
    EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr(".tmp")));
}

TEST_F(BadInput, WrongUsageIsExitCodeTwo) {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"scan", "--no-such-option"},
                                                    {"frobnicate"},
                                                    {},
                                                    {"scan", "--threads", "none"},
                                                    {"phantom", "--shape", "huge", "--out", "x"},
                                                    {"phantom"},
                                                    {"scan", "--rows", "0"}}) {
    const Outcome outcome = run_defectoscope(arguments);
    EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("--help"));
  }
}

}  // namespace
}  // namespace defectoscope
