#include "report/section_json.h"

#include <array>
#include <limits>

namespace defectoscope {
namespace {

constexpr std::array<const char*, 5> kKinds = {"lines", "scatter", "bars", "heatmap", "landscape"};
constexpr std::array<const char*, 7> kStages = {"overview", "development", "trigger", "explosion",
                                                "plateau",  "decay",       "beyond"};
constexpr std::array<const char*, 3> kMarks = {"explosion", "decay", "other"};

template <typename Enum, std::size_t N>
Enum named(const std::array<const char*, N>& names, const Json& json) {
  const auto& name = json.get_ref<const std::string&>();
  for (std::size_t i = 0; i < N; ++i)
    if (name == names[i]) return static_cast<Enum>(i);
  throw Json::other_error::create(501, "no such name: " + name, &json);
}
template <std::size_t N, typename Enum>
const char* name_of(const std::array<const char*, N>& names, Enum value) {
  return names[static_cast<std::size_t>(value)];
}

double value_of(const Json& json) {
  return json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>();
}
std::vector<double> values_of(const Json& json) {
  std::vector<double> values;
  for (const Json& item : json) values.push_back(value_of(item));
  return values;
}
std::optional<double> optional_of(const Json& json) {
  return json.is_null() ? std::nullopt : std::optional<double>(json.get<double>());
}

Json axis_json(const Axis& axis) {
  return {{"label", axis.label},           {"unit", axis.unit},   {"log", axis.log},
          {"categories", axis.categories}, {"whole", axis.whole}, {"min", number(axis.min)},
          {"max", number(axis.max)}};
}
Axis axis_of(const Json& json) {
  return {.label = json.at("label"),
          .unit = json.at("unit"),
          .log = json.at("log"),
          .categories = json.at("categories"),
          .whole = json.at("whole"),
          .min = optional_of(json.at("min")),
          .max = optional_of(json.at("max"))};
}

Json series_json(const Series& series) {
  return {{"name", series.name},
          {"x", numbers(series.x)},
          {"y", numbers(series.y)},
          {"labels", series.labels},
          {"second_axis", series.second_axis},
          {"low", numbers(series.low)},
          {"high", numbers(series.high)}};
}
Series series_of(const Json& json) {
  return {.name = json.at("name"),
          .x = values_of(json.at("x")),
          .y = values_of(json.at("y")),
          .labels = json.at("labels"),
          .second_axis = json.at("second_axis"),
          .low = values_of(json.at("low")),
          .high = values_of(json.at("high"))};
}

Json chart_json(const Chart& chart) {
  Json series = Json::array(), grid = Json::array(), marks = Json::array();
  for (const Series& one : chart.series) series.push_back(series_json(one));
  for (const auto& row : chart.grid) grid.push_back(numbers(row));
  for (const Mark& mark : chart.marks)
    marks.push_back({{"at", number(mark.at)},
                     {"text", mark.text},
                     {"kind", name_of(kMarks, mark.kind)},
                     {"horizontal", mark.horizontal}});
  return {{"id", chart.id},
          {"title", chart.title},
          {"sentence", chart.sentence},
          {"kind", name_of(kKinds, chart.kind)},
          {"x", axis_json(chart.x)},
          {"y", axis_json(chart.y)},
          {"y2", axis_json(chart.y2)},
          {"value", axis_json(chart.value)},
          {"series", std::move(series)},
          {"grid", std::move(grid)},
          {"grid_x_begin", number(chart.grid_x_begin)},
          {"marks", std::move(marks)}};
}
Chart chart_of(const Json& json) {
  Chart chart{.id = json.at("id"),
              .title = json.at("title"),
              .sentence = json.at("sentence"),
              .kind = named<ChartKind>(kKinds, json.at("kind")),
              .x = axis_of(json.at("x")),
              .y = axis_of(json.at("y")),
              .y2 = axis_of(json.at("y2")),
              .value = axis_of(json.at("value")),
              .grid_x_begin = json.at("grid_x_begin")};
  for (const Json& one : json.at("series")) chart.series.push_back(series_of(one));
  for (const Json& row : json.at("grid")) chart.grid.push_back(values_of(row));
  for (const Json& mark : json.at("marks"))
    chart.marks.push_back({.at = value_of(mark.at("at")),
                           .text = mark.at("text"),
                           .kind = named<Mark::Kind>(kMarks, mark.at("kind")),
                           .horizontal = mark.at("horizontal")});
  return chart;
}

Json cell_json(const Cell& cell) {
  return std::visit(
      [](const auto& value) -> Json {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, std::monostate>)
          return nullptr;
        else if constexpr (std::is_same_v<T, double>)
          return number(value);
        else
          return value;
      },
      cell);
}
Cell cell_of(const Json& json) {
  if (json.is_null()) return {};
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_integer()) return json.get<Index>();
  if (json.is_number()) return json.get<double>();
  return json.get<std::string>();
}

Json table_json(const Table& table) {
  Json columns = Json::array(), rows = Json::array();
  for (const Column& column : table.columns)
    columns.push_back({{"name", column.name}, {"unit", column.unit}, {"help", column.help}});
  for (const auto& row : table.rows) {
    Json cells = Json::array();
    for (const Cell& value : row) cells.push_back(cell_json(value));
    rows.push_back(std::move(cells));
  }
  return {{"id", table.id},
          {"title", table.title},
          {"sentence", table.sentence},
          {"columns", std::move(columns)},
          {"rows", std::move(rows)}};
}
Table table_of(const Json& json) {
  Table table{.id = json.at("id"),
              .title = json.at("title"),
              .sentence = json.at("sentence"),
              .columns = {},
              .rows = {}};
  for (const Json& column : json.at("columns"))
    table.columns.push_back(
        {.name = column.at("name"), .unit = column.at("unit"), .help = column.at("help")});
  for (const Json& row : json.at("rows")) {
    std::vector<Cell> cells;
    for (const Json& value : row) cells.push_back(cell_of(value));
    table.rows.push_back(std::move(cells));
  }
  return table;
}

}  // namespace

Json sections_json(const std::vector<Section>& sections) {
  Json list = Json::array();
  for (const Section& section : sections) {
    Json charts = Json::array(), tables = Json::array();
    for (const Chart& chart : section.charts) charts.push_back(chart_json(chart));
    for (const Table& table : section.tables) tables.push_back(table_json(table));
    list.push_back({{"id", section.id},
                    {"heading", section.heading},
                    {"stage", name_of(kStages, section.stage)},
                    {"sentences", section.sentences},
                    {"charts", std::move(charts)},
                    {"tables", std::move(tables)}});
  }
  return list;
}

std::vector<Section> sections_from_json(const Json& json) {
  std::vector<Section> sections;
  for (const Json& item : json) {
    Section section{.id = item.at("id"),
                    .heading = item.at("heading"),
                    .stage = named<Stage>(kStages, item.at("stage")),
                    .sentences = item.at("sentences")};
    for (const Json& chart : item.at("charts")) section.charts.push_back(chart_of(chart));
    for (const Json& table : item.at("tables")) section.tables.push_back(table_of(table));
    sections.push_back(std::move(section));
  }
  return sections;
}

Json page_json(const ModelPage& page) {
  Json cards = Json::array();
  for (const Card& card : page.cards) cards.push_back({{"value", card.value}, {"text", card.text}});
  return {{"schema", kSectionsSchema},
          {"program", program_json()},
          {"name", page.name},
          {"facts", page.facts},
          {"cards", std::move(cards)},
          {"summary", page.summary},
          {"sections", sections_json(page.sections)}};
}

ModelPage page_from_json(const Json& json) {
  ModelPage page{.name = json.at("name"),
                 .facts = json.at("facts"),
                 .cards = {},
                 .sections = sections_from_json(json.at("sections")),
                 .summary = json.at("summary")};
  for (const Json& card : json.at("cards")) page.cards.push_back({card.at("value"), card.at("text")});
  return page;
}

}  // namespace defectoscope
