#include "report/training_report.h"

#include <fmt/format.h>

#include <limits>

#include "report/scan_sections.h"

namespace defectoscope {
namespace {

constexpr double kNoAngle = std::numeric_limits<double>::quiet_NaN();

std::string label_of(const TrainingPoint& point) {
  return point.step ? fmt::format("{}", *point.step) : point.name;
}

Json layer_numbers_json(const std::vector<Index>& layers) { return Json(layers); }

std::string appearance(const Training& training) {
  if (!training.appears) return "The last checkpoint has no high-norm token, so none of the run's lasted.";
  const TrainingPoint& first = training.points[*training.appears];
  std::string text = fmt::format(
      "High-norm tokens are there from {} on (at {:.1f} times the ordinary norm; {:.1f} times in {}).",
      first.name, first.median_ratio, training.points.back().median_ratio, training.points.back().name);
  if (training.settles)
    text += fmt::format(" From {} on neighbouring checkpoints' directions are within {:.0f}°.",
                        training.points[*training.settles].name, kStableDegrees);
  return text;
}

Axis checkpoint_axis(const Training& training) {
  Axis axis{.label = training.points.front().step ? "step" : "checkpoint"};
  for (const TrainingPoint& point : training.points) axis.categories.push_back(label_of(point));
  return axis;
}

template <typename Value>
Series series_of(const Training& training, const std::string& name, Value value) {
  Series series{.name = name, .x = {}, .y = {}};
  for (std::size_t i = 0; i < training.points.size(); ++i) {
    series.x.push_back(static_cast<double>(i));
    series.y.push_back(value(training.points[i]));
  }
  return series;
}

Chart norm_chart(const Training& training) {
  Chart chart{.id = "training-norms",
              .title = "Norms over training",
              .sentence = appearance(training),
              .kind = ChartKind::kLines,
              .x = checkpoint_axis(training),
              .y = {.label = "largest over the layers", .log = true}};
  const auto largest = [](double LayerNorms::* member) {
    return [member](const TrainingPoint& point) {
      double value = 0;
      for (const LayerNorms& norms : point.norms) value = std::max(value, norms.*member);
      return value;
    };
  };
  chart.series.push_back(series_of(training, "largest norm", largest(&LayerNorms::max)));
  chart.series.push_back(series_of(training, "first token", largest(&LayerNorms::initial_median)));
  chart.series.push_back(series_of(training, "median", largest(&LayerNorms::median)));
  return chart;
}

Chart layer_chart(const Training& training) {
  Chart chart{
      .id = "training-layers",
      .title = "Largest norm of every layer over training",
      .sentence =
          "One row a checkpoint, one column a layer; layer 0 is the embedding (the paper's figure 11).",
      .kind = ChartKind::kHeatmap,
      .x = {.label = "layer", .whole = true},
      .y = checkpoint_axis(training),
      .value = {.label = "norm"}};
  for (const TrainingPoint& point : training.points) {
    std::vector<double> row;
    for (const LayerNorms& norms : point.norms) row.push_back(norms.max);
    chart.grid.push_back(std::move(row));
  }
  return chart;
}

Chart angle_chart(const Training& training) {
  const auto& last = training.points.back();
  Chart chart{.id = "training-angles",
              .title = "Direction of high-norm tokens over training",
              .sentence = last.to_previous_degrees
                              ? fmt::format("The last two checkpoints' directions are {:.1f}° apart.",
                                            *last.to_previous_degrees)
                              : "The last two checkpoints have no directions to compare.",
              .kind = ChartKind::kLines,
              .x = checkpoint_axis(training),
              .y = {.label = "angle", .unit = "degrees", .min = 0, .max = 95}};
  chart.series.push_back(series_of(training, "to the checkpoint before", [](const TrainingPoint& point) {
    return point.to_previous_degrees.value_or(kNoAngle);
  }));
  chart.series.push_back(series_of(training, "to the last", [](const TrainingPoint& point) {
    return point.to_last_degrees.value_or(kNoAngle);
  }));
  return chart;
}

Table point_table(const Training& training) {
  Table table{.id = "training-checkpoints",
              .title = "Every checkpoint",
              .columns = {{"checkpoint"},
                          {"high-norm states"},
                          {"ratio", "", "of their peak to the ordinary norm, median"},
                          {"pairwise angle", "°"},
                          {"to the one before", "°"},
                          {"to the last", "°"}},
              .rows = {}};
  for (const TrainingPoint& point : training.points)
    table.rows.push_back({point.name, point.count, point.has_high_norms ? cell(point.median_ratio) : Cell{},
                          point.count > 1 ? cell(point.mean_pairwise_angle_degrees) : Cell{},
                          cell(point.to_previous_degrees), cell(point.to_last_degrees)});
  return table;
}

Json training_json(const Training& training) {
  Json points = Json::array();
  for (const TrainingPoint& point : training.points) {
    Json largest = Json::array();
    for (const LayerNorms& norms : point.norms) largest.push_back(number(norms.max));
    points.push_back({{"name", point.name},
                      {"step", point.step ? Json(*point.step) : Json(nullptr)},
                      {"high_norm_states", point.count},
                      {"median_ratio", point.has_high_norms ? number(point.median_ratio) : Json(nullptr)},
                      {"mean_pairwise_angle_degrees",
                       point.count > 1 ? number(point.mean_pairwise_angle_degrees) : Json(nullptr)},
                      {"to_previous_degrees", number(point.to_previous_degrees)},
                      {"to_last_degrees", number(point.to_last_degrees)},
                      {"explosion_layers", layer_numbers_json(point.explosion_layers)},
                      {"decay_layers", layer_numbers_json(point.decay_layers)},
                      {"largest_norm_by_layer", std::move(largest)}});
  }
  const auto name_at = [&](const std::optional<std::size_t>& i) {
    return i ? Json(training.points[*i].name) : Json(nullptr);
  };
  return {{"appears", name_at(training.appears)},
          {"settles", name_at(training.settles)},
          {"checkpoints", std::move(points)}};
}

}  // namespace

AnalysisOutput training_output(std::span<const ScanResult> scans, const Training& training) {
  Section section{.id = "training",
                  .heading = "Training: when the phenomenon appears",
                  .stage = Stage::kBeyond,
                  .sentences = {appearance(training)},
                  .charts = {norm_chart(training), layer_chart(training), angle_chart(training)},
                  .tables = {point_table(training)}};
  std::string summary = appearance(training) + "\n";
  for (const TrainingPoint& point : training.points)
    summary += fmt::format(
        "  {}: {}{}{}\n", point.name,
        point.has_high_norms ? fmt::format("{:.1f} times the ordinary norm", point.median_ratio)
                             : std::string("no high-norm token"),
        point.to_previous_degrees ? fmt::format(", {:.1f}° from the one before", *point.to_previous_degrees)
                                  : "",
        point.to_last_degrees ? fmt::format(", {:.1f}° from the last", *point.to_last_degrees) : "");
  const ScanResult& last = scans.back();
  return {.name = "training",
          .json = analysis_json("training", model_facts(last),
                                {{"seed", last.seed}, {"text", last.calibration.source}},
                                training_json(training)),
          .summary = std::move(summary),
          .sections = {std::move(section)}};
}

}  // namespace defectoscope
