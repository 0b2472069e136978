#include <fmt/format.h>

#include <limits>

#include "report/probe_reports.h"
#include "report/scan_sections.h"

namespace defectoscope {
namespace {

struct Prediction {
  const char* name;
  const char* key;
  std::optional<double> LayerPredictions::* angle;
};
constexpr Prediction kPredictions[] = {
    {"left vector of L", "left_of_layer", &LayerPredictions::left_of_layer},
    {"left vector of F", "left_of_ffn", &LayerPredictions::left_of_ffn},
    {"left vector of L, scaled inputs", "left_of_scaled_layer", &LayerPredictions::left_of_scaled_layer},
    {"true maximiser’s output", "maximiser", &LayerPredictions::maximiser}};

std::string at_explosions(const ScanResult& scan, const std::vector<LayerPredictions>& predictions) {
  std::string text;
  for (const FoundLayer& found : scan.explosion_layers) {
    const LayerPredictions& layer = predictions[static_cast<std::size_t>(found.layer - 1)];
    text += fmt::format("{}Layer {}: ", text.empty() ? "" : " ", found.layer);
    bool first = true;
    for (const Prediction& prediction : kPredictions) {
      if (!(layer.*prediction.angle)) continue;
      text += fmt::format("{}{} {:.1f}°", first ? "" : ", ", prediction.name, *(layer.*prediction.angle));
      first = false;
    }
    text += ".";
  }
  return text;
}

}  // namespace

AnalysisOutput predictions_output(const ScanResult& scan, const std::vector<LayerPredictions>& predictions) {
  Section section = probe_section("predictions");
  Chart chart{.id = "predictions",
              .title = "Angle to the empirical direction",
              .sentence = "Four directions that no text was needed for, against the measured one. " +
                          at_explosions(scan, predictions),
              .kind = ChartKind::kLines,
              .x = layer_axis(scan, false),
              .y = {.label = "angle", .unit = "degrees", .min = 0, .max = 95}};
  Table table{.id = "predictions-table",
              .title = "Four predictions of every layer",
              .columns = {{"layer"}},
              .rows = {}};
  Json layers = Json::array();
  for (const Prediction& prediction : kPredictions) {
    table.columns.push_back({prediction.name, "°"});
    Series series{.name = prediction.name, .x = {}, .y = {}};
    for (const LayerPredictions& layer : predictions) {
      series.x.push_back(static_cast<double>(layer.layer));
      series.y.push_back((layer.*prediction.angle).value_or(std::numeric_limits<double>::quiet_NaN()));
    }
    chart.series.push_back(std::move(series));
  }
  chart.marks = life_cycle_marks(scan);
  for (const LayerPredictions& layer : predictions) {
    std::vector<Cell> row{layer.layer};
    Json entry = {{"layer", layer.layer}};
    for (const Prediction& prediction : kPredictions) {
      row.push_back(cell(layer.*prediction.angle));
      entry[std::string(prediction.key) + "_degrees"] = number(layer.*prediction.angle);
    }
    entry["attention_input_rms"] = number(layer.attention_input_rms);
    entry["ffn_input_rms"] = number(layer.ffn_input_rms);
    entry["maximiser_norm"] = number(layer.inputs.maximiser.norm);
    entry["linear_norm"] = number(layer.inputs.linear.norm);
    table.rows.push_back(std::move(row));
    layers.push_back(std::move(entry));
  }
  std::string summary = chart.sentence + "\n";
  section.charts.push_back(std::move(chart));
  section.tables.push_back(std::move(table));
  return {.name = "predictions",
          .json = analysis_json("predictions", model_facts(scan), {{"seed", scan.seed}},
                                {{"layers", layers}, {"notes", Json::array()}}),
          .summary = std::move(summary),
          .sections = {std::move(section)}};
}

}  // namespace defectoscope
