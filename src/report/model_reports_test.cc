// What training, emergence, mechanism and reproduce show.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "report/emergence_report.h"
#include "report/expect_sound.h"
#include "report/mechanism_report.h"
#include "report/reproduce_report.h"
#include "report/test_results.h"
#include "report/training_report.h"

namespace defectoscope {
namespace {

using nlohmann::json;
using testing::HasSubstr;

ScanResult named(ScanResult scan, const std::string& name) {
  scan.model_name = name;
  return scan;
}

TEST(TrainingReport, SaysFromWhichCheckpointOnHighNormsAreThere) {
  const std::vector<ScanResult> scans = {named(nothing_found(), "run-10"), named(example(), "run-20"),
                                         named(example(), "run-40")};
  const AnalysisOutput output = training_output(scans, follow_training(scans));
  expect_sound(output);
  const json result = json::parse(output.json);
  EXPECT_EQ(result["appears"], "run-20");
  EXPECT_EQ(result["checkpoints"][0]["step"], 10);
  EXPECT_TRUE(result["checkpoints"][0]["to_last_degrees"].is_null());
  EXPECT_NEAR(result["checkpoints"][1]["to_last_degrees"], 0, 1e-6);
  EXPECT_THAT(output.summary, HasSubstr("from run-20 on"));
}

TEST(TrainingReport, OfARunWithoutHighNormsSaysSo) {
  const std::vector<ScanResult> scans = {named(nothing_found(), "a"), named(nothing_found(), "b")};
  const AnalysisOutput output = training_output(scans, follow_training(scans));
  expect_sound(output);
  EXPECT_TRUE(json::parse(output.json)["appears"].is_null());
  EXPECT_THAT(output.summary, HasSubstr("no high-norm token"));
}

TEST(EmergenceReport, PutsDesignsSideBySideWithWhatCameOfThem) {
  EmergenceRow with;
  with.name = "with";
  with.family = "llama";
  with.factors = {.positions = "rotary", .ffn = "gated SiLU", .norm = "RMSNorm before"};
  with.has_high_norms = with.first_position = true;
  with.median_ratio = 30;
  with.explosion_layers = {2, 3};
  with.landscape = example().landscape;
  with.sentence = "High norms at the first position.";
  EmergenceRow without = with;
  without.name = "window";
  without.factors.window = 16;
  without.factors.windowed_layers = 3;
  without.has_high_norms = without.first_position = false;
  without.median_ratio = 0;
  without.explosion_layers.clear();
  const AnalysisOutput output = emergence_output(example(), std::vector{with, without});
  expect_sound(output);
  const json rows = json::parse(output.json)["models"];
  EXPECT_TRUE(rows[0]["factors"]["window"].is_null());
  EXPECT_EQ(rows[1]["factors"]["window"], 16);
  EXPECT_TRUE(rows[1]["median_ratio"].is_null());
  EXPECT_EQ(output.sections[0].charts.size(), 2U);
}

TEST(MechanismReport, GivesEachStageItsEvidenceAndThePathStepByStep) {
  Mechanism mechanism;
  mechanism.threshold = 100;
  mechanism.entries = 500;
  mechanism.paths = {{.token = "<s>", .steps = {}}, {.token = "", .tokens = 500, .steps = {}}};
  for (LonePath& path : mechanism.paths) {
    path.embedding = 1;
    path.steps = {{.layer = 1, .before_attention = 1, .before_ffn = 2, .after = 3},
                  {.layer = 2, .before_attention = 3, .before_ffn = 3.49, .after = 932}};
  }
  ExplosionEvidence explosion;
  explosion.layer = 2;
  explosion.high_first = 499;
  explosion.left_angle_degrees = 6;
  mechanism.explosions = {explosion};
  mechanism.decays = {{.layer = 3, .eigenvalue_re = -7.3, .eigenvector_angle_degrees = 9, .decay_ratio = -1}};
  const AnalysisOutput output = mechanism_output(example(), mechanism);
  expect_sound(output);
  ASSERT_EQ(output.sections.size(), 2U) << "the life in short, and the lone token's way";
  EXPECT_EQ(output.sections[0].sentences.size(), 4U) << "development, trigger, explosion, decay";
  EXPECT_THAT(output.summary, HasSubstr("layer 2: attention 3.49, FFN 932"));
  EXPECT_THAT(output.summary, HasSubstr("of 500 vocabulary entries, 499 have a high norm after layer 2"));
  const json result = json::parse(output.json);
  EXPECT_EQ(result["paths"][0]["steps"][1]["after"], 932);
  EXPECT_TRUE(result["paths"][1]["token"].is_null());
  EXPECT_TRUE(result["explosions"][0]["ffn_left_angle_degrees"].is_null());
}

TEST(MechanismReport, OfAModelWithNothingToExplainIsTheReason) {
  Mechanism mechanism;
  mechanism.reason = "There are no high-norm tokens.";
  const AnalysisOutput output = mechanism_output(nothing_found(), mechanism);
  expect_sound(output);
  EXPECT_EQ(output.summary, "There are no high-norm tokens.\n");
}

TEST(ReproduceReport, PublishedOursAndTheDifferenceStandInEveryForm) {
  using enum PublishedQuantity;
  const Reproduction result{
      .name = "zoo",
      .source = "a table",
      .threshold = 0,
      .parity_rows = 9,
      .figures = {{{kLeftAngle, 2, 20.0}, 17.5, std::nullopt}, {{kPerplexity, 0, 32.5}, {}, 32.0}},
      .notes = {"Something is missing."}};
  const AnalysisOutput output = reproduce_output(example(), result);
  expect_sound(output);
  EXPECT_THAT(output.summary, testing::ContainsRegex("angle of L, layer 2 .*20 +17.5 +-2.5 +- +-"));
  EXPECT_THAT(output.summary, testing::HasSubstr("Something is missing."));
  const json figures = json::parse(output.json)["figures"];
  EXPECT_EQ(figures[0]["parity_difference"], -2.5);
  EXPECT_TRUE(figures[0]["exact"].is_null());
  EXPECT_EQ(figures[1]["exact_difference"], -0.5);
  EXPECT_EQ(output.sections[0].charts.size(), 1U) << "the angles";
}

}  // namespace
}  // namespace defectoscope
