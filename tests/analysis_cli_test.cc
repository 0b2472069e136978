// The analyses as a user meets them: each subcommand alone, and all of them in scan --full.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "program.h"
#include "report/test_schema.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

const std::string kZoo = DEFECTOSCOPE_SOURCE_DIR "/zoo/";
/// Every analysis of scan --full.
const std::vector<std::string> kAnalyses = {"norms",   "high-norm",   "singular", "decay",    "census",
                                            "trigger", "predictions", "ablate",   "mechanism"};

class AnalysisCommand : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("defectoscope-analyses-" + std::to_string(getpid()));
    fs::remove_all(folder_);
    make_folder(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  Outcome run(const std::vector<std::string>& arguments) {
    return run_defectoscope(arguments, {.folder = folder_});
  }
  void expect_refused(int exit_code, const std::vector<std::string>& arguments, const std::string& named) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.exit_code, exit_code) << outcome.err;
    EXPECT_THAT(outcome.err, testing::StartsWith("defectoscope: "));
    EXPECT_THAT(outcome.err, HasSubstr(named));
  }
  /// Every file that any analysis writes, each by its schema.
  static void expect_written(const fs::path& out, const std::string& name) {
    EXPECT_EQ(schema_complaints(read_file(out / (name + ".json")), name + ".schema.json"), "");
    EXPECT_EQ(schema_complaints(read_file(out / "sections.json"), "sections.schema.json"), "");
    EXPECT_EQ(schema_complaints(read_file(out / "run.json"), "run.schema.json"), "");
    EXPECT_GT(fs::file_size(out / "report.html"), 1'000'000U);
    EXPECT_LT(fs::file_size(out / "report.html"), 6'000'000U);
    const json page = json::parse(read_file(out / "sections.json"));
    std::size_t charts = 0;
    for (const json& section : page["sections"])
      for (const json& chart : section["charts"]) {
        const std::string id = chart["id"];
        ++charts;
        EXPECT_TRUE(fs::exists(out / "tables" / (id + ".csv"))) << id;
        for (const char* format : {".svg", ".pdf", ".png"})
          EXPECT_GT(fs::file_size(out / "figures" / (id + format)), 1000U) << id << format;
      }
    EXPECT_GT(charts, 0U);
    EXPECT_FALSE(fs::exists(out / ".journal"));
  }

  fs::path folder_;
};

TEST_F(AnalysisCommand, EachOneWritesAllItsFilesAndPrintsWhatItFound) {
  for (const std::string& name : kAnalyses) {
    std::vector<std::string> command{name, kZoo + "llama-base"};
    if (name != "norms") command.insert(command.end(), {"--text", kZoo + "heldout.txt"});
    const Outcome outcome = run(command);
    ASSERT_EQ(outcome.exit_code, 0) << name << outcome.err;
    EXPECT_EQ(outcome.err, "") << name;
    EXPECT_THAT(outcome.out, HasSubstr("report.html"));
    expect_written(folder_ / "defectoscope-out" / ("llama-base-" + name), name);
  }
}

TEST_F(AnalysisCommand, AFullScanIsOneReportOfAllAndTheSameBytesAtAnyThreadCount) {
  std::vector<std::string> bytes;
  for (const char* threads : {"1", "2"}) {
    const Outcome outcome =
        run({"scan", kZoo + "llama-base", "--full", "--rows", "60", "--threads", threads, "--out", "full"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    bytes.emplace_back();
    for (const std::string& name : kAnalyses) bytes.back() += read_file(folder_ / "full" / (name + ".json"));
    bytes.back() += read_file(folder_ / "full/sections.json") + read_file(folder_ / "full/report.html");
  }
  EXPECT_TRUE(bytes[0] == bytes[1]);
  for (const std::string& name : kAnalyses) expect_written(folder_ / "full", name);
  std::vector<std::string> ids;
  const json page = json::parse(read_file(folder_ / "full/sections.json"));
  for (const json& section : page["sections"]) ids.push_back(section["id"]);
  for (const char* id : {"norms", "high-norm", "singular", "decay", "mechanism-development"})
    EXPECT_EQ(std::count(ids.begin(), ids.end(), id), 1) << "a section of the scan's own is replaced";
}

TEST_F(AnalysisCommand, AnEncoderAndAModelWithoutHighNormsAreAnsweredToo) {
  for (const char* model : {"bert-mini", "llama-base-ckpt-0"}) {
    const Outcome outcome = run({"scan", kZoo + model, "--full", "--rows", "20", "--out", model});
    ASSERT_EQ(outcome.exit_code, 0) << model << outcome.err;
    for (const std::string& name : kAnalyses)
      EXPECT_EQ(schema_complaints(read_file(folder_ / model / (name + ".json")), name + ".schema.json"), "");
  }
  const Outcome decay = run({"decay", kZoo + "llama-base-ckpt-0", "--rows", "20"});
  EXPECT_EQ(decay.exit_code, 0);
  EXPECT_THAT(decay.out, HasSubstr("no high-norm tokens"));
}

TEST_F(AnalysisCommand, ProbesRefuseWhatTheModelDoesNotHaveAndSayWhereThereIsNothing) {
  const std::string model = kZoo + "llama-base";
  expect_refused(2, {"census", model, "--rows", "20", "--layers", "7"}, "layer");
  expect_refused(2, {"trigger", model, "--rows", "20", "--layers", "0"}, "layer");
  expect_refused(2, {"trigger", model, "--rows", "20", "--first-token", "no such token"}, "no such token");
  for (const char* name : {"census", "trigger", "predictions", "ablate"}) {
    const Outcome outcome = run({name, kZoo + "llama-base-ckpt-0", "--rows", "20", "--json"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(schema_complaints(outcome.out, std::string(name) + ".schema.json"), "") << name;
    const json result = json::parse(outcome.out);
    EXPECT_TRUE(result["layers"].empty()) << name;
    EXPECT_EQ(result["notes"].size(), 1U) << name;
  }
}

TEST_F(AnalysisCommand, NormsTakesAnyTextAndRefusesWhatIsNone) {
  const std::string model = kZoo + "llama-base";
  const Outcome outcome = run({"norms", model, "--prompt", "Snow fell all night.", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const json result = json::parse(outcome.out);
  EXPECT_EQ(result["text"], "Snow fell all night.");
  EXPECT_EQ(result["with_start"]["norms"][0].size(), result["without_start"]["norms"][0].size() + 1);
  write_file(folder_ / "latin1.txt", "caf\xe9");
  expect_refused(3, {"norms", model, "--prompt", ""}, "no token");
  expect_refused(3, {"norms", model, "--prompt-file", "latin1.txt"}, "UTF-8");
  expect_refused(3, {"norms", model, "--prompt-file", "nowhere.txt"}, "nowhere.txt");
  expect_refused(2, {"norms", model, "--prompt", "a", "--prompt-file", "latin1.txt"}, "--prompt");
  expect_refused(2, {"norms", model, "--rows", "5"}, "--rows");
  EXPECT_FALSE(fs::exists(folder_ / "defectoscope-out/llama-base-norms/.journal"));
}

TEST_F(AnalysisCommand, TrainingFollowsTheSnapshotsInTheOrderOfTheirSteps) {
  const Outcome outcome = run({"training", kZoo + "llama-base-ckpt-*", kZoo + "llama-base", "--text",
                               kZoo + "heldout.txt", "--rows", "40", "--out", "run"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  expect_written(folder_ / "run", "training");
  const json result = json::parse(read_file(folder_ / "run/training.json"));
  std::vector<json> steps;
  for (const json& point : result["checkpoints"]) steps.push_back(point["step"]);
  EXPECT_EQ(steps, (std::vector<json>{0, 50, 100, 200, 400, 800, 1600, 2400, nullptr}));
  EXPECT_EQ(result["checkpoints"][0]["high_norm_states"], 0) << "nothing is high before training";
  EXPECT_GT(result["checkpoints"].back()["high_norm_states"], 0);
  EXPECT_TRUE(result["appears"].is_string());
}

TEST_F(AnalysisCommand, TrainingRefusesCheckpointsOfUnlikeShapesAndASingleOne) {
  expect_refused(3, {"training", kZoo + "llama-base-ckpt-0", kZoo + "llama-wide"}, "unlike shapes");
  expect_refused(2, {"training", kZoo + "llama-base-ckpt-0"}, "two checkpoints");
  expect_refused(3, {"training", kZoo + "no-such-*"}, "no model matches");
  expect_refused(2, {"training"}, "MODELS");
}

TEST_F(AnalysisCommand, EmergenceLaysDesignsSideBySide) {
  const Outcome outcome = run({"emergence", kZoo + "llama-base", kZoo + "bidirectional-prenorm", "--text",
                               kZoo + "heldout.txt", "--rows", "40", "--out", "designs"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  expect_written(folder_ / "designs", "emergence");
  const json models = json::parse(read_file(folder_ / "designs/emergence.json"))["models"];
  ASSERT_EQ(models.size(), 2U);
  EXPECT_EQ(models[0]["has_high_norms"], true);
  EXPECT_EQ(models[0]["factors"]["causal"], true);
  EXPECT_EQ(models[1]["factors"]["causal"], false);
}

}  // namespace
}  // namespace defectoscope
