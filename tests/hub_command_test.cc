// download, hf:// and --text wikitext-2 through the command line, against a hub on this machine.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/test_files.h"
#include "hub/test_hub.h"
#include "program.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing_hub::Fault;

class HubCommand : public testing::Test {
 protected:
  /// The model that the hub serves; made once, since that is what takes time.
  static fs::path phantom() {
    return fs::temp_directory_path() / ("defectoscope-hub-phantom-" + std::to_string(getpid()));
  }
  static void SetUpTestSuite() {
    fs::remove_all(phantom());
    ASSERT_EQ(run_defectoscope({"phantom", "--out", phantom().string(), "--seed", "3"}).exit_code, 0);
  }
  static void TearDownTestSuite() { fs::remove_all(phantom()); }

  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("defectoscope-hub-command-" + std::to_string(getpid()));
    fs::remove_all(folder_);
    make_folder(folder_);
    for (const char* name : {"HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE",
                             "HF_TOKEN_PATH", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"})
      unsetenv(name);
    setenv("HF_HOME", (folder_ / "home").c_str(), 1);
    setenv("HF_ENDPOINT", hub_.endpoint().c_str(), 1);
    hub_.add_folder("org/phantom", phantom());
  }
  void TearDown() override {
    for (const char* name : {"HF_HOME", "HF_ENDPOINT", "HF_HUB_CACHE", "HF_HUB_OFFLINE"}) unsetenv(name);
    fs::remove_all(folder_);
  }
  Outcome run(const std::vector<std::string>& arguments, RunOptions options = {}) {
    options.folder = folder_;
    return run_defectoscope(arguments, options);
  }
  void expect_refused(int exit_code, const std::vector<std::string>& arguments, const std::string& named) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.exit_code, exit_code) << outcome.err;
    EXPECT_THAT(outcome.err, AllOf(testing::StartsWith("defectoscope: "), HasSubstr(named)));
    EXPECT_EQ(outcome.out, "");
  }
  fs::path cache() const { return folder_ / "home/hub"; }

  fs::path folder_;
  testing_hub::TestHub hub_;
};

TEST_F(HubCommand, DownloadPrintsTheFolderThatHfAddressesThenStandFor) {
  const Outcome download = run({"download", "org/phantom"});
  EXPECT_EQ(download.exit_code, 0) << download.err;
  const fs::path snapshot = cache() / "models--org--phantom/snapshots" / std::string(40, 'a');
  EXPECT_EQ(download.out, snapshot.string() + "\n");
  for (const char* file : {"config.json", "tokenizer.json", "model.safetensors"})
    EXPECT_EQ(read_file(snapshot / file), read_file(phantom() / file)) << file;
  setenv("HF_HUB_OFFLINE", "1", 1);
  const Outcome by_address = run({"inspect", "hf://org/phantom"});
  EXPECT_EQ(by_address.exit_code, 0) << by_address.err;
  EXPECT_EQ(by_address.out, run({"inspect", snapshot.string()}).out);
}

TEST_F(HubCommand, HfAddressFetchesWhatIsMissing) {
  const Outcome inspect = run({"inspect", "hf://org/phantom@" + std::string(40, 'a')});
  EXPECT_EQ(inspect.exit_code, 0) << inspect.err;
  EXPECT_THAT(inspect.out, HasSubstr("llama"));
  EXPECT_GT(hub_.count("/cdn/org/phantom/model.safetensors"), 0);
}

TEST_F(HubCommand, AnAdapterOfTheHubIsFetchedAndMerged) {
  const auto config = nlohmann::json::parse(read_file(phantom() / "config.json"));
  const Index d = config["hidden_size"];
  const fs::path adapter = folder_ / "adapter";
  make_folder(adapter);
  write_file(adapter / "adapter_config.json", R"({"peft_type": "LORA", "r": 1, "lora_alpha": 2})");
  const std::string module = "base_model.model.model.layers.0.self_attn.o_proj.lora_";
  write_safetensors(adapter / "adapter_model.safetensors",
                    {testing_files::counting_tensor(module + "A.weight", {1, d}),
                     testing_files::counting_tensor(module + "B.weight", {d, 1})});
  hub_.add_folder("org/adapter", adapter);
  const Outcome local = run({"inspect", phantom().string(), "--adapter", adapter.string()});
  ASSERT_EQ(local.exit_code, 0) << local.err;
  const Outcome fetched = run({"inspect", "hf://org/phantom", "--adapter", "hf://org/adapter"});
  ASSERT_EQ(fetched.exit_code, 0) << fetched.err;
  const auto line = [](const std::string& out) { return out.substr(out.find("fingerprint"), 90); };
  EXPECT_EQ(line(fetched.out), line(local.out));
  EXPECT_NE(line(fetched.out), line(run({"inspect", phantom().string()}).out));
  expect_refused(3, {"inspect", phantom().string(), "--adapter", "hf://org/none"}, "org/none");
}

TEST_F(HubCommand, TrainingFollowsTheRevisionsAPatternMatches) {
  const fs::path zoo = DEFECTOSCOPE_SOURCE_DIR "/zoo";
  for (const char* step : {"0", "400", "1600"})
    hub_.add_folder("org/run", zoo / (std::string("llama-base-ckpt-") + step), std::string("step") + step);
  hub_.add_folder("org/run", zoo / "llama-base");
  const std::vector<std::string> command = {
      "training", "hf://org/run@step*", "--text", zoo / "heldout.txt", "--rows", "20", "--json"};
  const Outcome outcome = run(command);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  std::vector<nlohmann::json> steps, names;
  const auto result = nlohmann::json::parse(outcome.out);
  for (const auto& point : result["checkpoints"]) {
    steps.push_back(point["step"]);
    names.push_back(point["name"]);
  }
  EXPECT_EQ(steps, (std::vector<nlohmann::json>{0, 400, 1600}));
  EXPECT_EQ(names.at(1), "run@step400");
  hub_.forget();
  setenv("HF_HUB_OFFLINE", "1", 1);
  EXPECT_EQ(run(command).out, outcome.out) << "the revisions fetched once stand for the pattern";
  EXPECT_TRUE(hub_.seen().empty());
  unsetenv("HF_HUB_OFFLINE");
  expect_refused(3, {"training", "hf://org/run@v*"}, "no revision matches");
}

TEST_F(HubCommand, DryRunListsSizesAndFetchesNothing) {
  const Outcome plan = run({"download", "org/phantom", "--dry-run"});
  EXPECT_EQ(plan.exit_code, 0) << plan.err;
  EXPECT_THAT(plan.out, AllOf(HasSubstr("model.safetensors"), HasSubstr("missing"), HasSubstr(" free in ")));
  EXPECT_FALSE(fs::exists(cache()));
  EXPECT_EQ(hub_.seen().size(), 1U);
  const Outcome chosen =
      run({"download", "org/phantom", "--include", "*.json", "--include", "t*", "--dry-run"});
  EXPECT_THAT(chosen.out,
              AllOf(HasSubstr("config.json"), HasSubstr("truth.json"), Not(HasSubstr("safetensors"))));
}

TEST_F(HubCommand, InterruptedDownloadExitsWith130AndResumes) {
  hub_.fail({.kind = Fault::kSlow, .path = "model.safetensors"});
  const Outcome stopped = run({"download", "org/phantom"}, {.folder = {}, .interrupt_after = 1.0});
  EXPECT_EQ(stopped.exit_code, 130) << stopped.err;
  EXPECT_FALSE(fs::exists(cache() / "models--org--phantom/refs/main"));
  hub_.no_more_faults();
  hub_.forget();
  EXPECT_EQ(run({"download", "org/phantom"}).exit_code, 0);
  for (const auto& seen : hub_.seen())
    EXPECT_TRUE(seen.server != "cdn" || !seen.path.ends_with("model.safetensors") ||
                seen.range.starts_with("bytes="));
}

TEST_F(HubCommand, DiskThatIsTooSmallExitsWith4BeforeAnythingIsFetched) {
  hub_.add({.id = "org/huge",
            .files = {{"config.json", {"{}", false}}, {"model.safetensors", {"x", true}}},
            .said_size = std::int64_t{1} << 60});
  expect_refused(4, {"download", "org/huge"}, "disk is too small");
  EXPECT_EQ(hub_.count("/resolve/"), 0);
}

TEST_F(HubCommand, FullDiskExitsWith4AndNamesTheFile) {
  const Outcome outcome = run({"download", "org/phantom"}, {.folder = {}, .file_limit = 100'000});
  EXPECT_EQ(outcome.exit_code, 4);
  EXPECT_THAT(outcome.err, HasSubstr("cannot write file"));
}

TEST_F(HubCommand, BadInputIsRefusedWithItsExitCode) {
  expect_refused(2, {"download", "org/na me"}, "org/na me");
  expect_refused(2, {"inspect", "hf://../../etc"}, "org/name");
  expect_refused(3, {"download", "org/nothing"}, "check the name");
  expect_refused(3, {"download", "org/phantom@v9"}, "revision");
  expect_refused(3, {"download", "org/phantom", "--include", "*.nothing"}, "--include");
  hub_.add({.id = "org/evil", .files = {{"../../x", {"x", false}}, {"model.safetensors", {"x", true}}}});
  expect_refused(3, {"download", "org/evil"}, "../../x");
  hub_.add({.id = "org/evil", .files = {{"/abs/x", {"x", false}}, {"model.safetensors", {"x", true}}}});
  expect_refused(3, {"download", "org/evil"}, "/abs/x");
  EXPECT_FALSE(fs::exists(cache()));
  write_file(folder_ / "file", "no folder");
  setenv("HF_HUB_CACHE", (folder_ / "file/cache").c_str(), 1);
  expect_refused(4, {"download", "org/phantom"}, "HF_HUB_CACHE");
  unsetenv("HF_HUB_CACHE");
  setenv("HF_HUB_OFFLINE", "1", 1);
  expect_refused(3, {"download", "org/phantom"}, "HF_HUB_OFFLINE");
}

TEST_F(HubCommand, WikitextIsTakenByItsNameOnceItIsThere) {
  // Not the text, which is nobody's to copy: one in its place.
  const fs::path text = folder_ / "home/assets/defectoscope/wikitext-2-raw/wiki.test.raw";
  make_folder(text.parent_path());
  write_file(text, " = Title = \n the quick brown fox . \n jumps over the lazy dog . \n");
  setenv("HF_HUB_OFFLINE", "1", 1);
  const Outcome scan = run({"scan", phantom().string(), "--text", "wikitext-2", "--rows", "3", "--json"});
  EXPECT_EQ(scan.exit_code, 0) << scan.err;
  EXPECT_THAT(scan.out, HasSubstr("wiki.test.raw"));
  expect_refused(3, {"scan", phantom().string(), "--text", "wikitext-2-v1"}, "wikitext-2-v1");
}

TEST_F(HubCommand, AnotherArchiveThanThePublishedOneIsNoWikitext) {
  hub_.add({.id = "ggml-org/ci",
            .commit = "927b3642933080f1b0e811e2f916e14c292992f9",
            .dataset = true,
            .files = {{"wikitext-2-raw-v1.zip", {"PK something else", true}}}});
  expect_refused(3, {"download", "wikitext-2-raw"}, "not the one that was published");
}

TEST_F(HubCommand, DownloadOfWikitext2IsBothTexts) {
  for (const char* text : {"wikitext-2-raw/wiki.test.raw", "wikitext-2-v1/wiki.test.tokens"}) {
    make_folder((folder_ / "home/assets/defectoscope" / text).parent_path());
    write_file(folder_ / "home/assets/defectoscope" / text, "there");
  }
  const Outcome both = run({"download", "wikitext-2"});
  EXPECT_EQ(both.exit_code, 0) << both.err;
  EXPECT_THAT(both.out, AllOf(HasSubstr("wiki.test.raw\n"), HasSubstr("wiki.test.tokens\n")));
  EXPECT_TRUE(hub_.seen().empty()) << "what is there is not fetched again";
}

}  // namespace
}  // namespace defectoscope
