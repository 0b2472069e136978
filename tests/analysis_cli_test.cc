// The analyses as a user meets them: each subcommand alone, and all of them in scan --full.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/files.h"
#include "base/random.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors.h"
#include "program.h"
#include "report/test_schema.h"
#include "small_phantom.h"

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

TEST_F(AnalysisCommand, EncodersAndAModelWithoutHighNormsAreAnsweredToo) {
  for (const char* model : {"bert-mini", "bidirectional-prenorm", "llama-base-ckpt-0"}) {
    const Outcome outcome = run({"scan", kZoo + model, "--full", "--rows", "20", "--out", model});
    ASSERT_EQ(outcome.exit_code, 0) << model << outcome.err;
    for (const std::string& name : kAnalyses)
      EXPECT_EQ(schema_complaints(read_file(folder_ / model / (name + ".json")), name + ".schema.json"), "");
  }
  const Outcome decay = run({"decay", kZoo + "llama-base-ckpt-0", "--rows", "20"});
  EXPECT_EQ(decay.exit_code, 0);
  EXPECT_THAT(decay.out, HasSubstr("no high-norm tokens"));
}

/// A mixture whose truth is known: a phantom each of whose FFNs stands there as three experts, two of which
/// answer with weights that sum to 1.
void write_mixture(const fs::path& phantom, const fs::path& out) {
  make_folder(out);
  json config = json::parse(read_file(phantom / "config.json"));
  config["model_type"] = "mixtral";
  config["architectures"] = {"MixtralForCausalLM"};
  config["num_local_experts"] = 3;
  config["num_experts_per_tok"] = 2;
  write_file(out / "config.json", config.dump());
  for (const char* file : {"tokenizer.json", "tokenizer_config.json"}) fs::copy(phantom / file, out / file);
  const auto checkpoint = open_checkpoint(phantom);
  const Index width = config["hidden_size"];
  // Not zero: experts are then chosen by what the token is.
  std::vector<float> router(static_cast<std::size_t>(3 * width));
  Random random(5);
  for (float& value : router) value = static_cast<float>(0.1 * random.normal());
  std::vector<Tensor> tensors;
  for (const std::string& name : checkpoint->names()) {
    Tensor tensor = *checkpoint->find(name);
    const std::size_t mlp = name.find("mlp.");
    if (mlp == std::string::npos) {
      tensors.push_back(std::move(tensor));
      continue;
    }
    const std::string layer = name.substr(0, mlp) + "block_sparse_moe.";
    const std::string matrix = name[mlp + 4] == 'g' ? "w1" : name[mlp + 4] == 'd' ? "w2" : "w3";
    for (const char* expert : {"0", "1", "2"}) {
      tensor.name = layer + "experts." + expert + "." + matrix + ".weight";
      tensors.push_back(tensor);
    }
    if (matrix != "w1") continue;
    tensor.name = layer + "gate.weight";
    tensor.shape = {3, width};
    tensor.data = reinterpret_cast<const std::byte*>(router.data());
    tensors.push_back(tensor);
  }
  write_safetensors(out / "model.safetensors", tensors, {{"format", "pt"}});
}

TEST_F(AnalysisCommand, AMixtureOfExpertsIsAnsweredAsItsOneExpertWouldBe) {
  write_phantom(small_phantom(), folder_ / "dense");
  write_mixture(folder_ / "dense", folder_ / "mixture");
  std::map<std::string, std::map<std::string, json>> found;  // [model][analysis]
  for (const std::string model : {"dense", "mixture"}) {
    const Outcome outcome = run({"scan", model, "--full", "--rows", "20", "--out", "of-" + model});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    for (const std::string& name : kAnalyses) {
      const std::string text = read_file(folder_ / ("of-" + model) / (name + ".json"));
      EXPECT_EQ(schema_complaints(text, name + ".schema.json"), "") << model;
      found[model][name] = json::parse(text);
    }
  }
  auto &dense = found["dense"], &mixture = found["mixture"];
  for (const char* name : {"census", "trigger", "ablate"})
    ASSERT_EQ(mixture[name]["layers"].size(), dense[name]["layers"].size()) << name;
  const auto tokens = [](const json& census) {
    std::set<int> ids;
    for (const json& spike : census["layers"][0]["spikes"]) ids.insert(spike["id"].get<int>());
    return ids;
  };
  EXPECT_FALSE(tokens(mixture["census"]).empty());
  EXPECT_EQ(tokens(mixture["census"]), tokens(dense["census"]));
  const json &ours = mixture["trigger"]["layers"][0], &theirs = dense["trigger"]["layers"][0];
  EXPECT_NEAR(ours["leading_norm"].get<double>(), theirs["leading_norm"].get<double>(),
              1e-3 * theirs["leading_norm"].get<double>());
  EXPECT_EQ(ours["exploding"], 1);
  EXPECT_NEAR(ours["inputs"]["quadratic"]["norm"].get<double>(),
              theirs["inputs"]["quadratic"]["norm"].get<double>(),
              1e-2 * theirs["leading_norm"].get<double>());
  EXPECT_TRUE(ours["inputs"]["maximiser"].is_null()) << "the function changes with the experts that answer";
  EXPECT_THAT(mixture["trigger"]["notes"].dump(), HasSubstr("experts"));
  EXPECT_THAT(mixture["predictions"]["notes"].dump(), HasSubstr("experts"));
  for (std::size_t run = 0; run < 5; ++run)
    EXPECT_NEAR(mixture["ablate"]["runs"][run]["mean_loss"].get<double>(),
                dense["ablate"]["runs"][run]["mean_loss"].get<double>(), 1e-3);
  const auto inputs = [](const json& high_norm) {
    std::set<std::string> names;
    for (const json& input : high_norm["matmul_inputs"]) names.insert(input["input"]);
    return names;
  };
  EXPECT_EQ(inputs(mixture["high-norm"]), (std::set<std::string>{"attention in", "attention out", "FFN in"}));
  EXPECT_EQ(inputs(dense["high-norm"]).size(), 4U);
}

TEST_F(AnalysisCommand, SeveralExplosionAndDecayLayersAreEachAnalysed) {
  PhantomOptions options = small_phantom(8);
  options.variant = PhantomVariant::kTwoStepDecay;
  options.explosion_layers = {2, 4};
  write_phantom(options, folder_ / "two");
  const json truth = json::parse(read_file(folder_ / "two/truth.json"));
  ASSERT_EQ(truth["explosion_layers"].size(), 2U);
  ASSERT_EQ(truth["decay_layers"].size(), 2U);
  const Outcome outcome = run({"scan", "two", "--full", "--rows", "40", "--out", "of-two"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto result = [&](const char* name) {
    return json::parse(read_file(folder_ / "of-two" / (std::string(name) + ".json")));
  };
  for (const char* name : {"census", "trigger"}) {
    const json found = result(name);
    json layers = json::array();
    for (const json& layer : found["layers"]) layers.push_back(layer["layer"]);
    EXPECT_EQ(layers, truth["explosion_layers"]) << name;
  }
  EXPECT_EQ(result("ablate")["layers"], truth["explosion_layers"]);
  EXPECT_EQ(result("decay")["decay_layers"], truth["decay_layers"]);
  EXPECT_EQ(result("decay")["ordinary_inputs"].size(), 2U);
  EXPECT_EQ(result("mechanism")["explosions"].size(), 2U);
  EXPECT_EQ(result("mechanism")["decays"].size(), 2U);
}

TEST_F(AnalysisCommand, AnInterruptedFullScanGoesOnAndEndsWithTheSameBytes) {
  write_phantom(small_phantom(), folder_ / "model");
  const std::vector<std::string> command{"scan", "model", "--full", "--rows", "20", "--out", "out"};
  const auto finished = [&] {  // analyses in the journal
    std::error_code error;
    return std::ranges::count_if(
        fs::directory_iterator(folder_ / "out/.journal", error),
        [](const auto& file) { return file.path().filename().string().starts_with("analysis-"); });
  };
  // Machines differ in speed: later and later, until some analyses are done and others are not.
  Outcome stopped;
  for (double step = 0.5; step > 0.01 && stopped.exit_code != 130; step /= 3) {
    fs::remove_all(folder_ / "out");
    for (double after = step; after < 60; after += step) {
      stopped = run_defectoscope(command, {.folder = folder_, .interrupt_after = after});
      if (stopped.exit_code != 130 || finished() > 0) break;
    }
  }
  ASSERT_EQ(stopped.exit_code, 130) << stopped.err;
  EXPECT_GT(finished(), 0);
  EXPECT_FALSE(fs::exists(folder_ / "out/results.json"));
  const auto bytes = [&] {
    std::string all;
    for (const std::string& name : kAnalyses) all += read_file(folder_ / "out" / (name + ".json"));
    return all + read_file(folder_ / "out/results.json") + read_file(folder_ / "out/report.html");
  };
  ASSERT_EQ(run(command).exit_code, 0);
  EXPECT_FALSE(fs::exists(folder_ / "out/.journal"));
  const std::string resumed = bytes();
  fs::remove_all(folder_ / "out");
  ASSERT_EQ(run(command).exit_code, 0);
  EXPECT_TRUE(resumed == bytes());
}

TEST_F(AnalysisCommand, ProbesRefuseWhatTheModelDoesNotHaveAndSayWhereThereIsNothing) {
  const std::string model = kZoo + "llama-base";
  expect_refused(2, {"census", "--layers", "1,7", model, "--rows", "20"}, "1 to 6");
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

TEST_F(AnalysisCommand, CompareReportTakesResultsAndNothingElse) {
  for (const char* model : {"llama-base", "gpt2-mini"}) {
    const Outcome outcome = run({"norms", kZoo + model, "--out", model});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  }
  ASSERT_EQ(run({"compare-report", "llama-base", "gpt2-mini", "--out", "pages/both.html"}).exit_code, 0);
  const std::string page = read_file(folder_ / "pages/both.html");
  EXPECT_THAT(page, HasSubstr("<title>llama-base · gpt2-mini"));
  expect_refused(2, {"compare-report", "llama-base"}, "RESULTS");
  expect_refused(3, {"compare-report", "llama-base", kZoo + "gpt2-mini"}, "sections.json");
  make_folder(folder_ / "damaged");
  for (const char* text :
       {"{", "[]", "{\"schema\": \"other/1\"}", "{\"schema\": \"defectoscope.sections/1\"}"}) {
    write_file(folder_ / "damaged/sections.json", text);
    expect_refused(3, {"compare-report", "llama-base", "damaged", "--out", "pages/none.html"},
                   "sections.json");
  }
  EXPECT_FALSE(fs::exists(folder_ / "pages/none.html"));
}

}  // namespace
}  // namespace defectoscope
