// The program as a user meets it: subcommands, files, resumption, determinism.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "program.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class CommandLine : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("defectoscope-cli-" + std::to_string(getpid()));
    fs::remove_all(folder_);
    make_folder(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  Outcome run(std::vector<std::string> arguments, RunOptions options = {}) {
    options.folder = folder_;
    return run_defectoscope(arguments, options);
  }
  /// A small phantom in folder_/phantom.
  json phantom(std::vector<std::string> more = {}) {
    std::vector<std::string> arguments{"phantom", "--out", "phantom", "--seed", "3"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return json::parse(read_file(folder_ / "phantom" / "truth.json"));
  }

  fs::path folder_;
};

TEST_F(CommandLine, APhantomTakesLayersAndVocabularyOfItsOwn) {
  const json truth = phantom({"--layers", "12", "--vocabulary", "3000"});
  EXPECT_EQ(truth["decay_layers"], json({11}));
  const json config = json::parse(read_file(folder_ / "phantom" / "config.json"));
  EXPECT_EQ(config["num_hidden_layers"], 12);
  EXPECT_EQ(config["vocab_size"], 3000);
  EXPECT_EQ(run({"phantom", "--layers", "2", "--out", "low"}).exit_code, 2);
  EXPECT_EQ(run({"phantom", "--vocabulary", "100", "--out", "low"}).exit_code, 2);
  EXPECT_FALSE(fs::exists(folder_ / "low"));
}

TEST_F(CommandLine, VersionHelpAndManNameEverySubcommand) {
  EXPECT_THAT(run({"--version"}).out, testing::MatchesRegex("defectoscope [0-9]+\\.[0-9]+\\.[0-9]+\n"));
  const Outcome help = run({"--help"});
  const Outcome man = run({"man"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_EQ(man.exit_code, 0);
  for (const char* command : {"scan", "inspect", "phantom", "download", "completion", "signature", "compare",
                              "lineage", "registry", "disguise", "reproduce"}) {
    EXPECT_THAT(help.out, HasSubstr(command));
    EXPECT_THAT(man.out, HasSubstr(std::string(".SH ") + command));
    const Outcome own = run({command, "--help"});
    EXPECT_EQ(own.exit_code, 0);
    EXPECT_THAT(own.out, HasSubstr("--help"));
  }
}

TEST_F(CommandLine, AFamilyCanBeForcedOnAnUnknownModelType) {
  phantom();
  const fs::path path = folder_ / "phantom" / "config.json";
  json config = json::parse(read_file(path));
  config["model_type"] = "perceptron";
  write_file(path, config.dump());
  EXPECT_THAT(run({"inspect", "phantom"}).err, HasSubstr("--family NAME"));
  const Outcome forced = run({"inspect", "phantom", "--family", "llama"});
  EXPECT_EQ(forced.exit_code, 0) << forced.err;
  EXPECT_THAT(forced.out, HasSubstr("llama (model_type perceptron)"));
  const Outcome unknown = run({"inspect", "phantom", "--family", "zebra"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("--family zebra is not known"));
}

TEST_F(CommandLine, AnAdapterThatIsNoneIsRefused) {
  phantom();
  const Outcome refused = run({"inspect", "phantom", "--adapter", "phantom"});
  EXPECT_EQ(refused.exit_code, 3);
  EXPECT_THAT(refused.err, HasSubstr("adapter_config.json"));
}

TEST_F(CommandLine, CompletionOfEveryShellKnowsTheOptionsDeclared) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const Outcome outcome = run({"completion", shell});
    EXPECT_EQ(outcome.exit_code, 0);
    for (const char* word : {"scan", "inspect", "phantom", "threads", "variant", "standard"})
      EXPECT_THAT(outcome.out, HasSubstr(word)) << shell;
  }
}

TEST_F(CommandLine, ScanOfAPhantomFindsWhatWasPlanted) {
  const json truth = phantom({"--ratio", "60"});
  const Outcome outcome = run({"scan", "phantom", "--rows", "60"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  const fs::path out = folder_ / "defectoscope-out/phantom-scan";
  const json results = json::parse(read_file(out / "results.json"));
  ASSERT_EQ(results["explosion_layers"].size(), 1u) << outcome.out;
  EXPECT_EQ(results["explosion_layers"][0]["layer"], truth["explosion_layers"][0]);
  ASSERT_EQ(results["decay_layers"].size(), 1u) << outcome.out;
  EXPECT_EQ(results["decay_layers"][0]["layer"], truth["decay_layers"][0]);
  for (const char* file : {"run.json", "report.html", "directions.safetensors", "figures/norm-landscape.svg",
                           "figures/singular-angle.pdf", "figures/decay-eigenvalue.png"})
    EXPECT_TRUE(fs::exists(out / file)) << file;
  EXPECT_FALSE(fs::exists(out / ".journal"));
  EXPECT_THAT(outcome.out, HasSubstr("Explosion: layer 2"));
  std::vector<std::string> phases;
  const json run_json = json::parse(read_file(out / "run.json"));
  for (const json& phase : run_json["phases"]) phases.push_back(phase["name"]);
  EXPECT_THAT(phases, testing::IsSupersetOf({"Running the calibration text", "Reading the layers' weights"}));
}

TEST_F(CommandLine, JsonGoesToStandardOutputAlone) {
  phantom();
  const Outcome outcome = run({"scan", "phantom", "--rows", "10", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, read_file(folder_ / "defectoscope-out/phantom-scan/results.json"));
  EXPECT_EQ(json::parse(outcome.out)["schema"], "defectoscope.scan/1");
}

TEST_F(CommandLine, ChoosesItsBlasKernelsWhereNobodyElseDid) {
  const json truth = phantom({"--ratio", "60"});
  const char* set = std::getenv("OPENBLAS_CORETYPE");
  const std::string before = set == nullptr ? "" : set;
  unsetenv("OPENBLAS_CORETYPE");
  const Outcome outcome = run({"scan", "phantom", "--rows", "20", "--json"});
  if (set != nullptr) setenv("OPENBLAS_CORETYPE", before.c_str(), 1);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  EXPECT_EQ(json::parse(outcome.out)["explosion_layers"][0]["layer"], truth["explosion_layers"][0]);
}

TEST_F(CommandLine, TheSameCommandGivesTheSameBytesAtAnyThreadCount) {
  phantom();
  std::vector<std::string> results;
  for (const char* threads : {"1", "2", "4", "2"}) {
    const Outcome outcome = run({"scan", "phantom", "--rows", "20", "--json", "--threads", threads});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    results.push_back(outcome.out);
  }
  for (const std::string& other : results) EXPECT_EQ(other, results.front());
}

TEST_F(CommandLine, AnInterruptedScanGoesOnWhereItStoppedAndEndsWithTheSameBytes) {
  phantom({"--shape", "small"});
  const std::vector<std::string> command{"scan", "phantom", "--rows", "40", "--exact", "--json"};
  const fs::path out = folder_ / "defectoscope-out/phantom-scan";
  // The machine may be fast or slow: interrupt earlier until it bites.
  Outcome stopped;
  for (double after = 1.5; after > 0.01; after /= 2) {
    fs::remove_all(out);
    stopped = run(command, {.folder = {}, .interrupt_after = after});
    if (stopped.exit_code != 0) break;
  }
  ASSERT_EQ(stopped.exit_code, 130) << stopped.err;
  EXPECT_THAT(stopped.err, HasSubstr("same command"));
  EXPECT_FALSE(fs::exists(out / "results.json"));
  const Outcome resumed = run(command);
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  fs::remove_all(out);
  EXPECT_EQ(run(command).out, resumed.out);
}

TEST_F(CommandLine, InspectListsWhatTheCheckpointHolds) {
  phantom();
  const Outcome outcome = run({"inspect", "phantom", "--tensors"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  for (const char* part :
       {"llama", "parameters", "fingerprint", "model.layers.0.self_attn.q_proj.weight", "Complete"})
    EXPECT_THAT(outcome.out, HasSubstr(part));
  const json listed = json::parse(run({"inspect", "phantom", "--json"}).out);
  EXPECT_EQ(listed["usable"], true);
}

TEST_F(CommandLine, InspectOfAConfigurationAloneSaysThatWeightsAreMissing) {
  phantom();
  const json whole = json::parse(run({"inspect", "phantom", "--json"}).out);
  fs::remove(folder_ / "phantom/model.safetensors");
  const Outcome outcome = run({"inspect", "phantom", "--tensors"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  for (const char* part : {"llama", "No weights", "model.layers.0.self_attn.q_proj.weight", "Not usable"})
    EXPECT_THAT(outcome.out, HasSubstr(part));
  const json listed = json::parse(run({"inspect", "phantom", "--json"}).out);
  EXPECT_EQ(listed["weights"], false);
  EXPECT_EQ(listed["fingerprint"], nullptr);
  EXPECT_EQ(listed["parameters"], whole["parameters"]);
  EXPECT_EQ(run({"scan", "phantom"}).exit_code, 3);
}

TEST_F(CommandLine, APhantomIsTheSameBytesForTheSameSeedAndOthersForAnother) {
  phantom();
  for (const char* seed : {"3", "4"})
    ASSERT_EQ(run({"phantom", "--out", std::string("again") + seed, "--seed", seed}).exit_code, 0);
  EXPECT_EQ(read_file(folder_ / "phantom/model.safetensors"),
            read_file(folder_ / "again3/model.safetensors"));
  EXPECT_NE(read_file(folder_ / "phantom/model.safetensors"),
            read_file(folder_ / "again4/model.safetensors"));
}

TEST_F(CommandLine, APhantomDoesNotOverwriteAFolderThatHoldsFiles) {
  phantom();
  const Outcome outcome = run({"phantom", "--out", "phantom"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("phantom"));
}

TEST_F(CommandLine, TheDefaultModelIsScannedWithoutArguments) {
  const Outcome outcome = run({"scan", "--rows", "20"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_TRUE(fs::exists(folder_ / "defectoscope-out/llama-base-scan/report.html"));
}

}  // namespace
}  // namespace defectoscope
