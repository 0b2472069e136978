#include "report/defect_reports.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "report/expect_sound.h"
#include "report/test_results.h"

namespace defectoscope {
namespace {

using nlohmann::json;
using testing::HasSubstr;

TextNorms text_norms_example(bool parallel) {
  TextNorms norms;
  norms.landscape = example().landscape;
  norms.before_ffn = {{1, 2, 3}, {50, 1, 50}, {50, 2, 50}};
  norms.attention_added = {{0.1, 1, 2}, {1, 0, 1}, {1, 1, 1}};
  norms.ffn_added = {{49, 1, 48}, {2, 1, 2}, {48, 1, 48}};
  norms.parallel = parallel;
  norms.tokens_in_text = 3;
  return norms;
}

TEST(NormsReport, SaysWhichModuleMadeTheTallestTokenTall) {
  const TextNorms norms = text_norms_example(false);
  const AnalysisOutput output = norms_output(example(), "text", norms, norms);
  expect_sound(output);
  EXPECT_THAT(output.summary, HasSubstr("Layer 1's FFN adds the most: 49, taking its norm from 1 to 50"));
  EXPECT_EQ(output.sections[0].charts.size(), 3U);
}

TEST(NormsReport, ATokenizerWithoutStartTokenGivesOneLandscapeAndSaysSo) {
  TextNorms norms = text_norms_example(true);
  norms.tokens_in_text = 5;
  const AnalysisOutput output = norms_output(example(), "text", norms, std::nullopt);
  expect_sound(output);
  EXPECT_TRUE(json::parse(output.json)["without_start"].is_null());
  EXPECT_EQ(output.sections[0].charts.size(), 2U);
  EXPECT_THAT(output.summary, HasSubstr("in parallel"));
  EXPECT_THAT(output.sections[0].sentences, testing::Contains(HasSubstr("context ends after 3")));
}

HighNormDetail detail_example() {
  const double none = std::nan("");
  HighNormDetail detail;
  detail.rows = 5;
  detail.tokens = 100;
  detail.states_by_layer = {0, 4, 8, 0};
  detail.layer_angle_degrees = {none, 2, 3, none};
  detail.between_layers_degrees = {
      {none, none, none, none}, {none, 0, 4, none}, {none, 4, 0, none}, {none, none, none, none}};
  detail.initial_to_non_initial_degrees = 4.5;
  detail.initial_states = 6;
  detail.non_initial_states = 6;
  detail.occurrences = {{.id = 1, .token = "<s>", .first = 2, .later = 0, .first_peak = 50, .later_peak = 0}};
  detail.top_dimensions = {{.dimension = 0, .component = 1, .share = 1}};
  return detail;
}

std::vector<OutlierChannels> channels_example() {
  return {{.layer = 1,
           .input = "attention in",
           .channels = 2,
           .max = 9,
           .median = 1,
           .outliers = {0},
           .outlier_count = 1,
           .residual_channels = true},
          {.layer = 1, .input = "down in", .channels = 8, .max = 3, .median = 0, .outliers = {}}};
}

TEST(HighNormReport, HoldsBothViewsAndWhatTheyShare) {
  const AnalysisOutput output = high_norm_output(example(), detail_example(), channels_example());
  expect_sound(output);
  const json result = json::parse(output.json);
  EXPECT_TRUE(result["between_layers_degrees"][0][1].is_null());
  EXPECT_EQ(result["between_layers_degrees"][1][2], 4);
  EXPECT_TRUE(result["occurrences"][0]["later_peak_norm"].is_null());
  EXPECT_EQ(result["matmul_inputs"][0]["outliers"], json::array({0}));
  EXPECT_THAT(output.summary, HasSubstr("4.50° apart"));
  const Table& table = output.sections[0].tables.back();
  ASSERT_EQ(table.id, "outlier-channels");
  EXPECT_EQ(std::get<Index>(table.rows[0].back()), 1) << "channel 0 is the top dimension";
  EXPECT_TRUE(std::holds_alternative<std::monostate>(table.rows[1].back()));
}

TEST(SingularReport, PutsAttentionAndTheProductBesideTheLayer) {
  AccumulatedDirections directions;
  for (Index layer = 1; layer <= 3; ++layer)
    directions.layers.push_back({.layer = layer,
                                 .attention_angle_degrees = 70,
                                 .attention_singular_value = 2,
                                 .accumulated_angle_degrees = 20});
  AnalysisOutput output = singular_output(example(), directions);
  expect_sound(output);
  EXPECT_EQ(output.sections[0].charts[0].series.size(), 4U);
  for (LayerDirections& layer : directions.layers) layer.accumulated_angle_degrees.reset();
  directions.note = "left out";
  output = singular_output(example(), directions);
  expect_sound(output);
  EXPECT_EQ(output.sections[0].charts[0].series.size(), 3U);
  EXPECT_EQ(output.sections[0].sentences, std::vector<std::string>{"left out"});
}

TEST(DecayReport, SaysWhetherOrdinaryTokensStayOrdinary) {
  DecayCorollary fed{.layer = 3,
                     .states = 40,
                     .median_before = 2,
                     .max_before = 5,
                     .median_after = 2.5,
                     .max_after = 6,
                     .became_high = 0};
  AnalysisOutput output = decay_output(example(), {fed});
  expect_sound(output);
  EXPECT_THAT(output.summary, HasSubstr("Of 40 ordinary states fed to decay layer 3, none leave it above"));
  fed.became_high = 2;
  output = decay_output(example(), {fed});
  EXPECT_THAT(output.summary, HasSubstr("2 leave it above"));
}

TEST(DefectReports, OfAModelWithoutHighNormsSayWhyThereIsNothingToShow) {
  HighNormDetail detail;
  detail.rows = 5;
  detail.tokens = 100;
  AccumulatedDirections directions;
  for (Index layer = 1; layer <= 3; ++layer) {
    directions.layers.emplace_back();
    directions.layers.back().layer = layer;
  }
  for (const AnalysisOutput& output :
       {high_norm_output(nothing_found(), detail, channels_example()),
        singular_output(nothing_found(), directions), decay_output(nothing_found(), {})}) {
    expect_sound(output);
    EXPECT_TRUE(output.sections[0].charts.empty()) << output.name;
    ASSERT_FALSE(output.sections[0].sentences.empty()) << output.name;
    EXPECT_THAT(output.sections[0].sentences[0], testing::ContainsRegex("[Nn]o .*high")) << output.name;
  }
}

}  // namespace
}  // namespace defectoscope
