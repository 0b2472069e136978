#include "report/reproduce_report.h"

#include <fmt/format.h>

#include <limits>

#include "report/scan_sections.h"

namespace defectoscope {
namespace {

std::optional<double> difference(const std::optional<double>& ours, double published) {
  return ours ? std::optional(*ours - published) : std::nullopt;
}

std::string number_text(const std::optional<double>& value) {
  return value ? fmt::format("{:.4g}", *value) : std::string("-");
}

std::string difference_text(const std::optional<double>& value) {
  return value ? fmt::format("{:+.3g}", *value) : std::string("-");
}

/// Short enough to stand under a bar.
std::string bar_name(const PublishedFigure& figure) {
  using enum PublishedQuantity;
  if (figure.quantity == kPairwiseAngle) return "pairwise";
  const char* matrix = figure.quantity == kLeftAngle ? "L" : figure.quantity == kFfnLeftAngle ? "F" : "R";
  return fmt::format("{}, layer {}", matrix, figure.layer);
}

/// The angles, of which every model has some, side by side.
Chart angle_chart(const Reproduction& reproduction) {
  Chart chart{
      .id = "reproduce-angles",
      .title = "Angles, published and ours",
      .sentence =
          "Left vectors of L and F and the eigenvector of R, to the empirical direction. Parity measures as "
          "the authors’ code does, exact as this program does by itself.",
      .kind = ChartKind::kBars,
      .x = {.label = "figure"},
      .y = {.label = "angle", .unit = "degrees", .min = 0}};
  chart.series = {{.name = "published", .x = {}, .y = {}},
                  {.name = "parity", .x = {}, .y = {}},
                  {.name = "exact", .x = {}, .y = {}}};
  for (const ReproducedFigure& figure : reproduction.figures) {
    if (figure_unit(figure.published.quantity).empty()) continue;
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    chart.x.categories.push_back(bar_name(figure.published));
    chart.series[0].y.push_back(figure.published.value);
    chart.series[1].y.push_back(figure.parity.value_or(kNone));
    chart.series[2].y.push_back(figure.exact.value_or(kNone));
  }
  return chart;
}

}  // namespace

AnalysisOutput reproduce_output(const ScanResult& described, const Reproduction& reproduction) {
  Table table{.id = "reproduce-figures",
              .title = "Published and ours",
              .sentence = fmt::format("Source: {}.", reproduction.source),
              .columns = {{"figure"},
                          {"published"},
                          {"parity", "", "as the authors' code"},
                          {"difference"},
                          {"exact", "", "this program's own way"},
                          {"difference, exact"}},
              .rows = {}};
  Json figures = Json::array();
  constexpr const char* kLine = "  {:<44} {:>10} {:>10} {:>10} {:>10} {:>10}\n";
  std::string summary =
      fmt::format("{} ({})\n", reproduction.name, reproduction.source) +
      fmt::format(fmt::runtime(kLine), "", "published", "parity", "difference", "exact", "difference");
  for (const ReproducedFigure& figure : reproduction.figures) {
    const double published = figure.published.value;
    const std::string unit(figure_unit(figure.published.quantity));
    const std::string name = figure_name(figure.published);
    const std::string named = name + (unit.empty() ? "" : " (" + unit + ")");
    const auto parity = difference(figure.parity, published), exact = difference(figure.exact, published);
    table.rows.push_back(
        {named, published, cell(figure.parity), cell(parity), cell(figure.exact), cell(exact)});
    figures.push_back({{"figure", name},
                       {"unit", unit.empty() ? Json(nullptr) : Json("degrees")},
                       {"layer", figure.published.layer > 0 ? Json(figure.published.layer) : Json(nullptr)},
                       {"published", number(published)},
                       {"parity", number(figure.parity)},
                       {"parity_difference", number(parity)},
                       {"exact", number(figure.exact)},
                       {"exact_difference", number(exact)}});
    summary += fmt::format(fmt::runtime(kLine), named, number_text(published), number_text(figure.parity),
                           difference_text(parity), number_text(figure.exact), difference_text(exact));
  }
  for (const std::string& note : reproduction.notes) summary += "Note: " + note + "\n";
  Section section{.id = "reproduce",
                  .heading = fmt::format("Published numbers of {}", reproduction.name),
                  .stage = Stage::kOverview,
                  .sentences = reproduction.notes,
                  .tables = {std::move(table)}};
  Chart chart = angle_chart(reproduction);
  if (!chart.x.categories.empty()) section.charts.push_back(std::move(chart));
  return {.name = "reproduce",
          .json = analysis_json(
              "reproduce", model_facts(described), {{"seed", described.seed}, {"name", reproduction.name}},
              {{"source", reproduction.source},
               {"threshold", reproduction.threshold > 0 ? number(reproduction.threshold) : Json(nullptr)},
               {"parity_rows", reproduction.parity_rows},
               {"figures", std::move(figures)},
               {"notes", reproduction.notes}}),
          .summary = std::move(summary),
          .sections = {std::move(section)}};
}

}  // namespace defectoscope
