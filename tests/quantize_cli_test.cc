// perplexity and quantize as a user meets them: files, resumption, bad input.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "analysis/journal.h"
#include "base/files.h"
#include "forward/golden.h"
#include "program.h"
#include "quantize/study_parts.h"
#include "report/test_schema.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string zoo(const char* name) { return (fs::path(DEFECTOSCOPE_SOURCE_DIR) / "zoo" / name).string(); }

class QuantizeCommands : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("defectoscope-quantize-" + std::to_string(getpid()));
    fs::remove_all(folder_);
    make_folder(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  Outcome run(std::vector<std::string> arguments) { return run_defectoscope(arguments, {.folder = folder_}); }
  void expect_refused(std::vector<std::string> arguments, int exit_code, const std::string& part) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.exit_code, exit_code) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(part));
    EXPECT_FALSE(fs::exists(folder_ / "defectoscope-out/llama-base-quantize/quantize.json"));
  }

  /// The result keeps its schema, and has its report beside it.
  static void expect_written(const fs::path& out, const std::string& name,
                             const std::vector<std::string>& more) {
    EXPECT_EQ(schema_complaints(read_file(out / (name + ".json")), name + ".schema.json"), "");
    EXPECT_EQ(schema_complaints(read_file(out / "sections.json"), "sections.schema.json"), "");
    EXPECT_EQ(schema_complaints(read_file(out / "run.json"), "run.schema.json"), "");
    EXPECT_GT(fs::file_size(out / "report.html"), 1'000'000U);
    for (const std::string& file : more) EXPECT_TRUE(fs::exists(out / file)) << file;
    EXPECT_FALSE(fs::exists(out / ".journal"));
  }

  fs::path folder_;
};

TEST_F(QuantizeCommands, PerplexityIsTheSameBytesAtAnyThreadCountWithItsWindowsKept) {
  std::vector<std::string> results;
  for (const char* threads : {"1", "2"}) {
    const Outcome outcome = run({"perplexity", zoo("llama-base"), "--text", zoo("heldout.txt"), "--quantize",
                                 "rtn", "--threads", threads, "--json"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    results.push_back(outcome.out);
  }
  EXPECT_EQ(results[0], results[1]);
  const json result = json::parse(results[0]);
  EXPECT_EQ(result["schema"], "defectoscope.perplexity/1");
  EXPECT_EQ(result["windows"].size(), 42u);
  EXPECT_EQ(result["text"]["tokens"], 1353);
  EXPECT_EQ(result["left_out"], 9);
  const fs::path out = folder_ / "defectoscope-out/llama-base-perplexity";
  EXPECT_EQ(read_file(out / "perplexity.json"), results[0]);
  expect_written(out, "perplexity", {"windows.csv", "figures/perplexity-windows.svg"});
}

TEST_F(QuantizeCommands, TheExportedModelIsReadBackAndKnownAsQuantized) {
  const std::string exported = (folder_ / "exported").string();
  const Outcome outcome = run({"quantize", zoo("llama-base"), "--export", exported, "--skip", "1,6",
                               "--calibration", zoo("heldout.txt")});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("model.layers.0.mlp.down_proj"), HasSubstr("0.69 MB now")));
  EXPECT_EQ(run({"inspect", exported}).exit_code, 0);
  expect_refused({"quantize", exported, "--text", zoo("heldout.txt")}, 3, "quantized already");
  expect_refused(
      {"quantize", zoo("llama-base"), "--export", exported, "--skip", "1", "--text", zoo("heldout.txt")}, 2,
      "empty folder");
  expect_refused({"quantize", zoo("llama-base"), "--export", exported + "2", "--skip", "1"}, 2,
                 "needs --calibration");
}

TEST_F(QuantizeCommands, TheTableOfThePaperIsMadeForTheDefaultModelTheSameBytesAtAnyThreadCount) {
  write_file(folder_ / "text.txt", read_file(zoo("heldout.txt")).substr(0, 800));
  const fs::path out = folder_ / "defectoscope-out/llama-base-quantize";
  std::vector<std::string> bytes;
  for (const char* threads : {"1", "2", "4"}) {
    const Outcome outcome = run({"quantize", "--text", "text.txt", "--draws", "2", "--rows", "30", "--auto",
                                 "--target-ppl-increase", "20%", "--threads", threads});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    for (const char* part :
         {"RTN, skip", "SmoothQuant, skip", "LLM.int8()", "FP8 e4m3", "tokens/s", "whole layers left alone",
          "every F2 left alone", "Rank correlation", "Smallest skip set"})
      EXPECT_THAT(outcome.out, HasSubstr(part));
    bytes.push_back(read_file(out / "quantize.json") + read_file(out / "sections.json") +
                    read_file(out / "report.html"));
    if (bytes.size() > 1) {
      EXPECT_TRUE(bytes.back() == bytes.front()) << threads;
    }
  }
  expect_written(out, "quantize",
                 {"speed.csv", "tables/quantize-table.csv", "tables/quantize-matmuls.csv",
                  "figures/quantize-kl.svg", "figures/quantize-damage.pdf"});
  const json result = json::parse(read_file(out / "quantize.json"));
  EXPECT_EQ(result["table"].size(), 8u);
  EXPECT_EQ(result["controls"].size(), 2u);
  EXPECT_EQ(result["options"]["skip_from_scan"], true);
  EXPECT_EQ(result["modules"].size(), 42u);
  EXPECT_LT(result["table"][2]["mean_kl"], result["table"][1]["mean_kl"]);
}

/// Perplexity means nothing there; the KL does (docs/quantization.md has the whole table).
TEST_F(QuantizeCommands, OnAPhantomTheSkipSetWinsBackAThirdAndBeatsRandomSets) {
  ASSERT_EQ(run({"phantom", "--out", "phantom", "--seed", "1"}).exit_code, 0);
  const Model model = Model::open(folder_ / "phantom");
  write_file(folder_ / "text.txt", read_file(zoo("heldout.txt")).substr(0, 250));
  const EvaluationText text =
      read_evaluation_text(folder_ / "text.txt", *open_tokenizer(model.folder()), model);
  const ModuleSet skipped = down_modules(model, {2, 7});
  std::vector<QuantMethod> methods(2, method_named("rtn"));
  methods[1].skipped = skipped;
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    methods.push_back(method_named("rtn"));
    methods.back().skipped = random_modules(model, skipped.size(), skipped, seed);
  }
  ScanJournal journal;
  const ActivationMaxima unneeded;
  std::vector<std::string> notes;
  const std::vector<MethodOutcome> outcomes =
      MethodComparison(model, text.tokens, {.window = 64}, unneeded, ComputeType::kF32, journal)
          .run(methods, notes);
  EXPECT_GT(outcomes[0].mean_kl, 0.05);
  EXPECT_LT(outcomes[1].mean_kl, 0.67 * outcomes[0].mean_kl);
  for (std::size_t i = 2; i < outcomes.size(); ++i) EXPECT_GT(outcomes[i].mean_kl, 1.5 * outcomes[1].mean_kl);
}

/// A small Mixtral of drawn weights, with the zoo's tokenizer.
void write_mixture(const fs::path& folder, const std::string& name) {
  Golden golden = read_golden(name);
  json config = json::parse(golden.config_json);
  const Index entries = json::parse(read_file(zoo("llama-base") + "/config.json")).at("vocab_size");
  for (GeneratedTensor& tensor : golden.tensors)
    if (tensor.shape.front() == config.at("vocab_size")) tensor.shape.front() = entries;
  config["vocab_size"] = entries;
  write_generated_model(folder, config.dump(), golden.tensors, golden.seed, DType::kF32);
  for (const char* file : {"tokenizer.json", "tokenizer_config.json"})
    fs::copy_file(fs::path(zoo("llama-base")) / file, folder / file);
}

TEST_F(QuantizeCommands, AMixtureOfExpertsIsMeasuredSkippedAndExportedExpertByExpert) {
  write_mixture(folder_ / "mixtral", "mixtral");
  write_file(folder_ / "text.txt", read_file(zoo("heldout.txt")).substr(0, 400));
  const auto perplexity = [&](std::vector<std::string> more) {
    std::vector<std::string> command{"perplexity", "mixtral", "--text", "text.txt",
                                     "--window",   "32",      "--json"};
    command.insert(command.end(), more.begin(), more.end());
    const Outcome outcome = run(command);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return json::parse(outcome.out)["perplexity"].get<double>();
  };
  const std::vector<double> measured{perplexity({}), perplexity({"--quantize", "rtn"}),
                                     perplexity({"--quantize", "rtn", "--skip", "2"})};
  ASSERT_EQ(run({"quantize", "mixtral", "--text", "text.txt", "--window", "32", "--skip", "2", "--draws", "2",
                 "--rows", "10", "--out", "table"})
                .exit_code,
            0);
  const json result = json::parse(read_file(folder_ / "table/quantize.json"));
  for (std::size_t row = 0; row < measured.size(); ++row)
    EXPECT_DOUBLE_EQ(result["table"][row]["perplexity"], measured[row]) << row;
  EXPECT_NE(measured[0], measured[1]);
  EXPECT_EQ(result["modules"].size(), 2u * (4 + 4 * 3));
  EXPECT_EQ(result["table"][2]["skipped"].size(), 4u);
  EXPECT_EQ(result["table"][2]["skipped"][3], (json{{"expert", 3}, {"layer", 2}, {"module", "down"}}));
  expect_written(folder_ / "table", "quantize", {"tables/quantize-matmuls.csv"});

  const Outcome exported =
      run({"quantize", "mixtral", "--export", "w8a8", "--export-method", "per-token", "--skip", "2"});
  ASSERT_EQ(exported.exit_code, 0) << exported.err;
  EXPECT_THAT(exported.out, AllOf(HasSubstr("Left as it is: model.layers.1.block_sparse_moe.experts.3.w2"),
                                  Not(HasSubstr("experts.3.w1"))));
  EXPECT_EQ(run({"inspect", "w8a8"}).exit_code, 0);

  write_mixture(folder_ / "packed", "mixtral_packed");
  const Outcome packed =
      run({"quantize", "packed", "--export", "none", "--export-method", "per-token", "--skip", "2"});
  EXPECT_EQ(packed.exit_code, 2);
  EXPECT_THAT(packed.err, HasSubstr("all experts of a layer in one tensor"));
  EXPECT_FALSE(fs::exists(folder_ / "none"));
}

TEST_F(QuantizeCommands, WhatCannotBeDoneIsSaid) {
  write_file(folder_ / "short.txt", "Two words\n");
  const std::string model = zoo("llama-base"), text = zoo("heldout.txt");
  const auto quantize = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments{"quantize", model, "--text", text, "--threads", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  };
  expect_refused({"quantize", model, "--text", "short.txt"}, 3, "shorter than one window");
  expect_refused({"perplexity", model, "--text", "short.txt"}, 3, "shorter than one window");
  expect_refused({"perplexity", model, "--text", "none.txt"}, 3, "none.txt");
  expect_refused({"perplexity", model, "--text", text, "--window", "64"}, 2, "context of 32");
  expect_refused({"perplexity", model, "--text", text, "--quantize", "gptq"}, 2, "smoothquant");
  expect_refused({"perplexity", model, "--text", text, "--wbits", "1"}, 2, "between 2 and 16");
  expect_refused(quantize({"--alpha", "1.5"}), 2, "between 0 and 1");
  expect_refused(quantize({"--skip", "7"}), 2, "layers 1 to 6");
  expect_refused(quantize({"--auto", "--target-ppl-increase", "-5%"}), 2, "not negative");
  expect_refused(quantize({"--auto", "--target-ppl-increase", "much"}), 2, "'much'");
  write_file(folder_ / "one.txt", "x\n");
  expect_refused(quantize({"--calibration", "one.txt", "--skip", "1"}), 3,
                 "too short to give the inputs' ranges");
}

TEST_F(QuantizeCommands, ACheckpointThatIsQuantizedAlreadyIsRefused) {
  fs::copy(zoo("llama-base"), folder_ / "model", fs::copy_options::recursive);
  json config = json::parse(read_file(folder_ / "model/config.json"));
  config["quantization_config"] = {{"quant_method", "bitsandbytes"}};
  write_file(folder_ / "model/config.json", config.dump());
  const Outcome outcome = run({"quantize", "model", "--text", zoo("heldout.txt")});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("quantiz"));
}

}  // namespace
}  // namespace defectoscope
