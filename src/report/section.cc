#include "report/section.h"

#include <fmt/format.h>

#include <cmath>
#include <set>
#include <stdexcept>

namespace defectoscope {
namespace {

[[noreturn]] void refuse(const std::string& id, const char* why) {
  throw std::logic_error(fmt::format("report: {}: {}", id, why));
}

bool is_id(const std::string& id) {
  return !id.empty() && id.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
}

void check_chart(const Chart& chart) {
  if (chart.sentence.empty()) refuse(chart.id, "a chart needs a sentence that says what it shows");
  for (const Series& series : chart.series) {
    if (!series.x.empty() && series.x.size() != series.y.size()) refuse(chart.id, "x and y differ in length");
    if (!series.labels.empty() && series.labels.size() != series.y.size())
      refuse(chart.id, "labels and y differ in length");
    if (series.low.size() != series.high.size() ||
        (!series.low.empty() && series.low.size() != series.y.size()))
      refuse(chart.id, "a band is as long as its curve");
  }
  const bool grid = chart.kind == ChartKind::kHeatmap || chart.kind == ChartKind::kLandscape;
  if (grid != chart.series.empty()) refuse(chart.id, "heatmaps and landscapes hold a grid, others series");
  for (const auto& row : chart.grid)
    if (row.size() != chart.grid.front().size()) refuse(chart.id, "the grid's rows differ in length");
  if (grid && chart.grid.empty()) refuse(chart.id, "the grid is empty");
  if (grid && !chart.y.categories.empty() && chart.y.categories.size() != chart.grid.size())
    refuse(chart.id, "one name for each row of the grid");
  if (grid && !chart.x.categories.empty() && chart.x.categories.size() != chart.grid.front().size())
    refuse(chart.id, "one name for each column of the grid");
}

}  // namespace

Cell cell(std::optional<double> value) {
  if (!value || !std::isfinite(*value)) return {};
  return *value;
}

void check_sections(const std::vector<Section>& sections) {
  std::set<std::string> ids, anchors;
  const auto take = [&](std::set<std::string>& seen, const std::string& id) {
    if (!is_id(id)) refuse(id, "an id holds a-z, 0-9 and - only");
    if (!seen.insert(id).second) refuse(id, "the id occurs twice");
  };
  for (const Section& section : sections) {
    take(anchors, section.id);
    for (const Chart& chart : section.charts) {
      take(ids, chart.id);
      check_chart(chart);
    }
    for (const Table& table : section.tables) {
      take(ids, table.id);
      for (const auto& row : table.rows)
        if (row.size() != table.columns.size()) refuse(table.id, "a row is as long as the columns");
    }
  }
}

std::string axis_title(const Axis& axis) {
  return axis.unit.empty() ? axis.label : fmt::format("{} ({})", axis.label, axis.unit);
}

}  // namespace defectoscope
