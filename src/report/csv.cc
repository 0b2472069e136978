#include "report/csv.h"

#include <fmt/format.h>

#include <cmath>

namespace defectoscope {
namespace {

std::string quoted(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string safe = "\"";
  for (const char c : text) safe += c == '"' ? std::string("\"\"") : std::string(1, c);
  return safe + "\"";
}

std::string text_of(double value) { return std::isfinite(value) ? fmt::format("{}", value) : std::string(); }
std::string text_of(Index value) { return fmt::format("{}", value); }
std::string text_of(bool value) { return value ? "yes" : "no"; }
std::string text_of(const std::string& value) { return quoted(value); }
std::string text_of(std::monostate) { return {}; }

void add_line(std::string& csv, const std::vector<std::string>& fields) {
  csv += fmt::format("{}\n", fmt::join(fields, ","));
}

std::string position(const Axis& axis, double at, double begin) {
  const auto index = static_cast<std::size_t>(at);
  return axis.categories.empty()          ? text_of(at + begin)
         : index < axis.categories.size() ? quoted(axis.categories[index])
                                          : text_of(at);
}

std::string column_name(const Axis& axis) { return quoted(axis_title(axis)); }

}  // namespace

std::string table_csv(const Table& table) {
  std::string csv;
  std::vector<std::string> fields;
  for (const Column& column : table.columns)
    fields.push_back(
        quoted(column.unit.empty() ? column.name : fmt::format("{} ({})", column.name, column.unit)));
  add_line(csv, fields);
  for (const auto& row : table.rows) {
    fields.clear();
    for (const Cell& value : row)
      fields.push_back(std::visit([](const auto& inner) { return text_of(inner); }, value));
    add_line(csv, fields);
  }
  return csv;
}

std::string chart_csv(const Chart& chart) {
  std::string csv;
  if (!chart.grid.empty()) {
    add_line(csv, {column_name(chart.x), column_name(chart.y), column_name(chart.value)});
    for (std::size_t row = 0; row < chart.grid.size(); ++row)
      for (std::size_t col = 0; col < chart.grid[row].size(); ++col)
        add_line(csv, {position(chart.x, static_cast<double>(col), chart.grid_x_begin),
                       position(chart.y, static_cast<double>(row), 0), text_of(chart.grid[row][col])});
    return csv;
  }
  add_line(csv, {"series", column_name(chart.x), column_name(chart.y), "low", "high", "label"});
  for (const Series& series : chart.series)
    for (std::size_t i = 0; i < series.y.size(); ++i)
      add_line(csv, {quoted(series.name),
                     position(chart.x, series.x.empty() ? static_cast<double>(i) : series.x[i], 0),
                     text_of(series.y[i]), series.low.empty() ? "" : text_of(series.low[i]),
                     series.high.empty() ? "" : text_of(series.high[i]),
                     series.labels.empty() ? "" : quoted(series.labels[i])});
  return csv;
}

}  // namespace defectoscope
