#include <fmt/format.h>

#include <algorithm>

#include "report/probe_reports.h"
#include "report/scan_sections.h"
#include "report/vocabulary_series.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {
namespace {

std::string trigger_id(const char* what, Index layer) { return fmt::format("trigger-{}-{}", what, layer); }

/// Of the largest norm.
constexpr float kLeastDrawn = 1e-9f;

Chart norms_chart(const TriggerLayer& layer) {
  Chart chart{.id = trigger_id("norms", layer.layer),
              .title = fmt::format("Right singular vectors through the FFN of layer {}", layer.layer),
              .sentence = {},
              .kind = ChartKind::kLines,
              .x = {.label = "right singular vector of F", .whole = true},
              .y = {.label = "norm of the FFN's output", .log = true}};
  std::vector<float> larger(layer.plus.size());
  for (std::size_t i = 0; i < larger.size(); ++i) larger[i] = std::max(layer.plus[i], layer.minus[i]);
  Series series{.name = "the sign that reaches more", .x = {}, .y = {}};
  // Vectors of singular value 0 come out as rounding left them: the axis ends where that begins.
  const float largest = std::ranges::max(larger);
  if (std::ranges::min(larger) < kLeastDrawn * largest) {
    chart.y.min = static_cast<double>(kLeastDrawn * largest);
    chart.y.max = 2 * static_cast<double>(largest);
  }
  for (const std::size_t i : visible_entries(larger)) {
    series.x.push_back(static_cast<double>(i + 1));
    series.y.push_back(static_cast<double>(larger[i]));
  }
  chart.series.push_back(std::move(series));
  chart.sentence = fmt::format(
      "The leading right singular vector of F comes out of the real FFN with norm {:.4g}, the best of all "
      "others with {:.4g}; {} of {} reach half of the first.",
      layer.leading_norm, layer.runner_up_norm, layer.exploding, layer.values.size());
  return chart;
}

Chart coefficients_chart(const TriggerLayer& layer, const Trigger& trigger, const Tokenizer& tokenizer) {
  Chart chart{.id = trigger_id("coefficients", layer.layer),
              .title = fmt::format("Coefficients on the explosion subspace, layer {}", layer.layer),
              .sentence = fmt::format(
                  "What every vocabulary entry carries along the leading right singular vector just before "
                  "the FFN: median {:.3g} in first place, {:.3g} in second place behind “{}”.",
                  layer.first_median, layer.second_median, trigger.first_token_text),
              .kind = ChartKind::kScatter,
              .x = {.label = "vocabulary entry", .whole = true},
              .y = {.label = "coefficient"}};
  const auto name = [&](std::int32_t id) { return readable_token(tokenizer, id); };
  chart.series.push_back(vocabulary_series("first position", layer.first, name));
  chart.series.push_back(vocabulary_series("second position", layer.second, name));
  return chart;
}

Table inputs_table(const TriggerLayer& layer) {
  const TriggerInputs& inputs = layer.inputs;
  Table table{.id = trigger_id("inputs", layer.layer),
              .title = fmt::format("Ways to the trigger of layer {}", layer.layer),
              .sentence = fmt::format(
                  "Each input scaled to the same length. Angles between them: linear and quadratic {:.1f}°",
                  inputs.linear_quadratic_degrees),
              .columns = {{"input"},
                          {"norm reached", "", "of the real FFN's output"},
                          {"angle of the output", "°", "to the direction that high-norm tokens have"}},
              .rows = {}};
  table.sentence += inputs.has_maximiser
                        ? fmt::format(", linear and maximiser {:.1f}°, quadratic and maximiser {:.1f}°.",
                                      inputs.linear_maximiser_degrees.value_or(90),
                                      inputs.quadratic_maximiser_degrees.value_or(90))
                        : std::string(".");
  const auto add = [&](const char* name, const TriggerInput& input) {
    table.rows.push_back({std::string(name), cell(input.norm), cell(input.output_angle_degrees)});
  };
  add("leading right singular vector of F", inputs.linear);
  add("leading input of the quadratic amplifier", inputs.quadratic);
  if (inputs.has_maximiser) add("true maximiser", inputs.maximiser);
  return table;
}

Json input_json(const TriggerInput& input) {
  return {{"norm", number(input.norm)}, {"output_angle_degrees", number(input.output_angle_degrees)}};
}

Json layer_json(const TriggerLayer& layer) {
  const TriggerInputs& inputs = layer.inputs;
  std::vector<double> values;
  for (const double value : layer.values) values.push_back(value);
  return {{"layer", layer.layer},
          {"singular_values", numbers(values)},
          {"output_norms",
           {{"plus", numbers(six_digits(layer.plus))}, {"minus", numbers(six_digits(layer.minus))}}},
          {"leading_norm", number(layer.leading_norm)},
          {"runner_up_norm", number(layer.runner_up_norm)},
          {"exploding", layer.exploding},
          {"inputs",
           {{"linear", input_json(inputs.linear)},
            {"quadratic", input_json(inputs.quadratic)},
            {"maximiser", inputs.has_maximiser ? input_json(inputs.maximiser) : Json(nullptr)},
            {"linear_quadratic_degrees", number(inputs.linear_quadratic_degrees)},
            {"linear_maximiser_degrees", number(inputs.linear_maximiser_degrees)},
            {"quadratic_maximiser_degrees", number(inputs.quadratic_maximiser_degrees)},
            {"maximiser_stationarity", inputs.has_maximiser ? number(inputs.stationarity) : Json(nullptr)},
            {"maximiser_converged", inputs.converged},
            {"maximiser_starts", inputs.starts}}},
          {"coefficients",
           {{"first_median", number(layer.first_median)},
            {"second_median", number(layer.second_median)},
            {"first", numbers(six_digits(layer.first))},
            {"second", numbers(six_digits(layer.second))}}}};
}

}  // namespace

AnalysisOutput trigger_output(const ScanResult& scan, const Trigger& trigger, const Tokenizer& tokenizer) {
  Section section = probe_section("trigger");
  section.sentences = trigger.notes;
  Json layers = Json::array();
  std::string summary;
  for (const TriggerLayer& layer : trigger.layers) {
    section.charts.push_back(norms_chart(layer));
    summary += fmt::format("Layer {}. {}\n", layer.layer, section.charts.back().sentence);
    section.charts.push_back(coefficients_chart(layer, trigger, tokenizer));
    summary += section.charts.back().sentence + "\n";
    section.tables.push_back(inputs_table(layer));
    layers.push_back(layer_json(layer));
    if (!layer.inputs.has_maximiser) continue;
    summary += fmt::format("The true maximiser reaches {:.4g}", layer.inputs.maximiser.norm);
    summary += layer.inputs.maximiser.output_angle_degrees
                   ? fmt::format(", its output {:.1f}° from the empirical direction (linear: {}).\n",
                                 *layer.inputs.maximiser.output_angle_degrees,
                                 layer.inputs.linear.output_angle_degrees
                                     ? fmt::format("{:.1f}°", *layer.inputs.linear.output_angle_degrees)
                                     : "none")
                   : ".\n";
  }
  for (const std::string& note : trigger.notes) summary += note + "\n";
  return {.name = "trigger",
          .json = analysis_json("trigger", model_facts(scan),
                                {{"seed", scan.seed}, {"first_token", trigger.first_token}},
                                {{"layers", layers}, {"notes", trigger.notes}}),
          .summary = summary,
          .sections = {std::move(section)}};
}

}  // namespace defectoscope
