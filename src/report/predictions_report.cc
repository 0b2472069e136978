#include <fmt/format.h>

#include <algorithm>
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

/// Why some predictions are missing.
std::vector<std::string> notes_on(const std::vector<LayerPredictions>& predictions) {
  const auto lacks = [&](auto missing) { return std::ranges::any_of(predictions, missing); };
  std::vector<std::string> notes;
  if (lacks([](const LayerPredictions& layer) { return !layer.inputs.has_maximiser; }))
    notes.emplace_back(
        "Layers with experts have no maximiser: the function to climb changes with the experts that answer.");
  if (lacks([](const LayerPredictions& layer) { return !layer.left_of_scaled_layer; }))
    notes.emplace_back(
        "L with scaled inputs exists only where norms stand before attention and FFN and see something.");
  return notes;
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
    entry["maximiser_norm"] =
        layer.inputs.has_maximiser ? number(layer.inputs.maximiser.norm) : Json(nullptr);
    entry["linear_norm"] = number(layer.inputs.linear.norm);
    table.rows.push_back(std::move(row));
    layers.push_back(std::move(entry));
  }
  section.sentences = notes_on(predictions);
  std::string summary = chart.sentence + "\n";
  for (const std::string& note : section.sentences) summary += note + "\n";
  section.charts.push_back(std::move(chart));
  section.tables.push_back(std::move(table));
  return {.name = "predictions",
          .json = analysis_json("predictions", model_facts(scan), {{"seed", scan.seed}},
                                {{"layers", layers}, {"notes", section.sentences}}),
          .summary = std::move(summary),
          .sections = {std::move(section)}};
}

}  // namespace defectoscope
