#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/safetensors.h"
#include "report/csv.h"
#include "report/figures.h"
#include "report/font_coverage.h"
#include "report/gnuplot.h"
#include "report/json_values.h"
#include "report/page.h"
#include "report/scan_report.h"
#include "report/scan_sections.h"
#include "report/section_json.h"
#include "report/test_results.h"
#include "report/test_schema.h"

namespace defectoscope {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(ScanJson, KeepsItsSchema) {
  EXPECT_EQ(schema_complaints(scan_json(example()), "scan.schema.json"), "");
  EXPECT_EQ(schema_complaints(scan_json(nothing_found()), "scan.schema.json"), "");
}

TEST(ScanJson, TheSchemaRefusesWhatIsNotAResult) {
  auto json = nlohmann::json::parse(scan_json(example()));
  json["layers"][0]["left_angle_degrees"] = "five";
  EXPECT_NE(schema_complaints(json.dump(), "scan.schema.json"), "");
  json = nlohmann::json::parse(scan_json(example()));
  json.erase("high_norm");
  EXPECT_NE(schema_complaints(json.dump(), "scan.schema.json"), "");
}

TEST(ScanJson, WhatDoesNotExistIsNull) {
  const auto json = nlohmann::json::parse(scan_json(nothing_found()));
  EXPECT_TRUE(json["high_norm"]["threshold"].is_null());
  EXPECT_TRUE(json["layers"][0]["left_angle_degrees"].is_null());
  EXPECT_TRUE(json["layers"][0]["eigenvalue"].is_null());
  EXPECT_TRUE(json["layers"][0]["residual"].is_null());
  EXPECT_TRUE(json["explosion_layers"].empty());
}

TEST(RunJson, KeepsItsSchema) {
  RunInfo run;
  run.command = {"defectoscope", "scan"};
  run.started = "2026-01-01T00:00:00Z";
  run.phases = {{"forward", 1.5}};
  EXPECT_EQ(schema_complaints(run_json(run), "run.schema.json"), "");
}

TEST(Summary, SaysWhatWasFoundAndWhatItMeans) {
  const std::string text = scan_summary(example(), "out");
  for (const char* part : {"layer 1 (index 0", "layer 3 (index 2", "5.0°", "16 bit", "out/report.html", "-7"})
    EXPECT_THAT(text, HasSubstr(part));
}

TEST(Summary, ALayerThatMakesAndRemovesHighNormsIsNamedOnceInTheSkipSet) {
  ScanResult result = example();
  result.decay_layers = result.explosion_layers;
  const std::string layer = std::to_string(result.explosion_layers.front().layer);
  ASSERT_EQ(result.explosion_layers.size(), 1u);
  EXPECT_THAT(scan_summary(result, ""), HasSubstr("down projection of layer " + layer + " in 16 bit"));
}

TEST(Summary, SaysPlainlyThatNothingWasFound) {
  const std::string text = scan_summary(nothing_found(), "");
  EXPECT_THAT(text, HasSubstr("No high-norm tokens"));
  EXPECT_THAT(text, Not(HasSubstr("Explosion")));
}

TEST(ScanHtml, IsSelfContainedAndSafeFromNames) {
  const std::string page = page_html({scan_page(example())});
  EXPECT_THAT(page, HasSubstr("example&lt;/script&gt;"));
  EXPECT_THAT(page, Not(HasSubstr("example</script>")));
  EXPECT_THAT(page, Not(HasSubstr("src=\"http")));
  for (const char* mark : {"@TITLE@", "@DATA@", "@CHARTS@"}) EXPECT_THAT(page, Not(HasSubstr(mark)));
}

TEST(Sections, ComeBackFromJsonAsTheyWere) {
  const ModelPage page = scan_page(example());
  const Json json = sections_json(page.sections);
  EXPECT_EQ(sections_json(sections_from_json(Json::parse(json.dump()))), json);
  EXPECT_GE(page.sections.size(), 6u);
}

TEST(Sections, ThatBreakTheirRulesAreRefused) {
  std::vector<Section> sections = scan_page(example()).sections;
  EXPECT_NO_THROW(check_sections(sections));
  auto broken = sections;
  broken[0].charts[0].sentence.clear();
  EXPECT_THROW(check_sections(broken), std::logic_error);
  broken = sections;
  broken[1].tables[0].rows[0].pop_back();
  EXPECT_THROW(check_sections(broken), std::logic_error);
  broken = sections;
  broken[2].charts[0].id = broken[0].charts[0].id;
  EXPECT_THROW(check_sections(broken), std::logic_error);
}

TEST(Page, ThinsLongSeriesButKeepsTheirExtremes) {
  Series series{.name = "long", .x = {}, .y = std::vector<double>(100000, 1.0)};
  series.y[54321] = 77.25;
  Section section{.id = "s", .heading = "S"};
  section.charts = {{.id = "c", .title = "c", .sentence = "s", .x = {.label = "x"}, .y = {.label = "y"}}};
  section.charts[0].series = {series};
  const std::string page = page_html({{.name = "m", .sections = {section}}});
  EXPECT_THAT(page, HasSubstr("77.25"));
  EXPECT_LT(page.size(), 2'000'000u);
}

TEST(Page, OfThirtyTwoLayersAnd128kEntriesStaysUnderSixMegabytes) {
  constexpr std::size_t kLayers = 32, kEntries = 128256, kTokens = 40;
  const auto name = [](std::size_t id) { return fmt::format("token number {}", id); };
  Series entries{.name = "every entry", .x = {}, .y = {}};
  Table ranked{.id = "ranked", .title = "t", .columns = {{"token"}, {"id"}, {"norm"}, {"first"}}, .rows = {}};
  for (std::size_t id = 0; id < kEntries; ++id) {
    entries.y.push_back(std::exp(std::sin(static_cast<double>(id * id % 7919))));
    entries.labels.push_back(name(id));
    ranked.rows.push_back({name(id), static_cast<Index>(id), entries.y.back(), id % 2 == 0});
  }
  const Axis x{.label = "x"}, y{.label = "y"};
  std::vector<Section> sections;
  // As many charts as the largest report has: census, trigger, landscapes, heatmaps, per-layer curves.
  for (std::size_t s = 0; s < 8; ++s) {
    Section section{.id = fmt::format("s{}", s), .heading = "S"};
    if (s < 3)
      section.charts.push_back({.id = fmt::format("entries-{}", s),
                                .title = "c",
                                .sentence = "s",
                                .kind = ChartKind::kScatter,
                                .x = x,
                                .y = y,
                                .series = {entries, entries}});
    section.charts.push_back({.id = fmt::format("grid-{}", s),
                              .title = "c",
                              .sentence = "s",
                              .kind = ChartKind::kLandscape,
                              .x = x,
                              .y = y});
    section.charts.back().grid.assign(kTokens, std::vector<double>(kLayers + 1, 1.0 / 3));
    section.charts.push_back({.id = fmt::format("angles-{}", s),
                              .title = "c",
                              .sentence = "s",
                              .kind = ChartKind::kHeatmap,
                              .x = x,
                              .y = y});
    section.charts.back().grid.assign(kLayers, std::vector<double>(kLayers, 1.0 / 3));
    if (s < 3) {
      section.tables = {ranked};
      section.tables[0].id = fmt::format("ranked-{}", s);
    }
    sections.push_back(std::move(section));
  }
  EXPECT_LT(page_html({{.name = "m", .sections = sections}}).size(), 6'000'000u);
}

TEST(FontCoverage, WhatNoFontHasIsEscapedInFigures) {
  const FontCoverage coverage = parse_font_coverage("20-7e 3b1-3c9\n4e00 4e2d-4e30\n");
  EXPECT_EQ(drawable("aα中", coverage), "aα中");
  EXPECT_EQ(drawable("一丁é한😀", coverage), "一\\u{4e01}\\u{e9}\\u{d55c}\\u{1f600}");
  EXPECT_EQ(gnuplot_quoted("α \"\xf4\x8f\xbf\xbd\""), "\"α \\\"\\\\u{10fffd}\\\"\"")
      << "a last private character";
}

TEST(Csv, QuotesWhatNeedsItAndLeavesOutWhatDoesNotExist) {
  const Table table{.id = "t",
                    .title = "t",
                    .columns = {{"a,b"}, {"n", "°"}},
                    .rows = {{std::string("x\"y"), Cell{}}, {true, 0.1}}};
  EXPECT_EQ(table_csv(table), "\"a,b\",n (°)\n\"x\"\"y\",\nyes,0.1\n");
}

class WriteScanReport : public testing::Test {
 protected:
  void SetUp() override {
    out_ = std::filesystem::path(testing::TempDir()) / ("scan_report_test" + std::to_string(getpid()));
    std::filesystem::remove_all(out_);
  }
  void TearDown() override { std::filesystem::remove_all(out_); }
  std::filesystem::path out_;
};

TEST_F(WriteScanReport, LeavesEveryFileOfTheResultAndNoOther) {
  const auto missing = write_scan_report(example(), {}, out_);
  EXPECT_THAT(missing, testing::IsEmpty());
  for (const char* file : {"results.json", "run.json", "report.html", "directions.safetensors"})
    EXPECT_TRUE(std::filesystem::exists(out_ / file)) << file;
  Index figures = 0;
  for (const auto& entry : std::filesystem::directory_iterator(out_ / "figures")) {
    EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr("tmp")));
    EXPECT_GT(entry.file_size(), 1000u);
    ++figures;
  }
  EXPECT_EQ(schema_complaints(read_file(out_ / "sections.json"), "sections.schema.json"), "");
  EXPECT_TRUE(std::filesystem::exists(out_ / "tables/layers.csv"));
  EXPECT_EQ(figures, 12);  // landscape, angle, eigenvalue, trust
}

TEST_F(WriteScanReport, EveryKindOfChartIsDrawnInEveryFormat) {
  Section section{.id = "kinds", .heading = "Kinds"};
  for (const ChartKind kind : {ChartKind::kLines, ChartKind::kScatter, ChartKind::kBars, ChartKind::kHeatmap,
                               ChartKind::kLandscape}) {
    Chart chart{.id = fmt::format("kind-{}", static_cast<int>(kind)),
                .title = "t",
                .sentence = "s",
                .kind = kind,
                .x = {.label = "x", .whole = true},
                .y = {.label = "y"},
                .value = {.label = "v", .min = 0, .max = 5}};
    const double none = std::numeric_limits<double>::quiet_NaN();
    if (kind == ChartKind::kHeatmap || kind == ChartKind::kLandscape)
      chart.grid = {{none, 1, 2}, {3, none, 4}};
    else
      chart.series = {{.name = "a", .x = {}, .y = {1, none, 3}, .low = {0, none, 2}, .high = {2, none, 4}}};
    section.charts.push_back(std::move(chart));
  }
  EXPECT_THAT(write_figures({section}, out_), testing::IsEmpty());
  for (const Chart& chart : section.charts)
    for (const char* format : {".svg", ".pdf", ".png"})
      EXPECT_GT(std::filesystem::file_size(out_ / "figures" / (chart.id + format)), 1000U)
          << chart.id << format;
}

TEST_F(WriteScanReport, DirectionsCanBeReadBack) {
  make_folder(out_);
  write_directions(example(), out_ / "directions.safetensors");
  const auto file = SafetensorsFile::open(out_ / "directions.safetensors");
  EXPECT_EQ(file->tensors().size(), 7u);
  EXPECT_EQ(to_f32(file->tensors().at("left.2")), (std::vector<float>{1, 0}));
}

TEST_F(WriteScanReport, AModelWithoutHighNormsGetsTheLandscapeAloneAndSaysWhy) {
  const auto missing = write_scan_report(nothing_found(), {}, out_);
  ASSERT_EQ(missing.size(), 1u);
  EXPECT_THAT(missing[0], HasSubstr("no empirical direction"));
  EXPECT_TRUE(std::filesystem::exists(out_ / "figures/norm-landscape.svg"));
}

}  // namespace
}  // namespace defectoscope
