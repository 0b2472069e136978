#include "report/defect_reports.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/scan_sections.h"

namespace defectoscope {
namespace {

Json options_json(const ScanResult& scan) {
  return {{"seed", scan.seed}, {"compute", scan.compute}, {"paper_parity", scan.paper_parity}};
}

Chart between_layers_chart(const HighNormDetail& detail) {
  double worst = 0;
  for (const auto& row : detail.between_layers_degrees)
    for (const double angle : row)
      if (std::isfinite(angle)) worst = std::max(worst, angle);
  return {.id = "high-norm-layers",
          .title = "One direction in all layers?",
          .sentence =
              fmt::format("Angle between the mean directions of two layers' high-norm states; the largest is "
                          "{:.1f}°. Layers without such states are empty.",
                          worst),
          .kind = ChartKind::kHeatmap,
          .x = {.label = "layer", .whole = true},
          .y = {.label = "layer", .whole = true},
          .value = {.label = "angle", .unit = "degrees", .min = 0, .max = 90},
          .grid = detail.between_layers_degrees};
}

Chart attention_chart(const ScanResult& scan) {
  Chart chart{.id = "high-norm-attention",
              .title = "Attention drawn",
              .sentence = {},
              .kind = ChartKind::kLines,
              .x = layer_axis(scan, false),
              .y = {.label = "share of attention", .min = 0}};
  double most = 0;
  std::string who;
  for (const SpikeToken& token : scan.high_norm.tokens) {
    if (token.attention_share_by_layer.empty() || chart.series.size() == 6) continue;
    Series series{.name = "“" + token.token + "”", .x = {}, .y = {}};
    for (std::size_t layer = 0; layer < token.attention_share_by_layer.size(); ++layer) {
      series.x.push_back(static_cast<double>(layer + 1));
      series.y.push_back(token.attention_share_by_layer[layer]);
      if (series.y.back() > most) {
        most = series.y.back();
        who = token.token;
      }
    }
    chart.series.push_back(std::move(series));
  }
  chart.sentence = fmt::format(
      "How much of later tokens' attention goes to one such token, mean over heads and later tokens; "
      "“{}” draws up to {:.0f} %.",
      who, 100 * most);
  chart.marks = life_cycle_marks(scan);
  return chart;
}

Table dimension_table(const HighNormDetail& detail) {
  Table table{.id = "top-dimensions",
              .title = "Massive activations: top dimensions of the direction",
              .sentence = "Numbered from 0, as in code.",
              .columns = {{"dimension"}, {"component"}, {"share", "", "of the squared length"}},
              .rows = {}};
  for (const TopDimension& top : detail.top_dimensions)
    table.rows.push_back({top.dimension, cell(top.component), cell(top.share)});
  return table;
}

Table outlier_table(const HighNormDetail& detail, const std::vector<OutlierChannels>& inputs) {
  Table table{
      .id = "outlier-channels",
      .title = "Outlier channels of every matmul's input",
      .sentence = fmt::format(
          "Channels whose largest input passes {:.0f} times the median channel's, the largest {} named. They "
          "need not be the top dimensions above: norms rescale every channel.",
          kOutlierFactor, 8),
      .columns = {{"layer"},
                  {"input of"},
                  {"largest"},
                  {"median channel"},
                  {"ratio"},
                  {"outliers", "", "how many"},
                  {"channels", "", "numbered from 0"},
                  {"top dimensions", "", "of those named; only where channels are residual dimensions"}},
      .rows = {}};
  const auto lies = [&](const char* name) {
    return std::ranges::count(inputs, std::string(name), &OutlierChannels::input);
  };
  if (lies("down in") < lies("FFN in"))
    table.sentence +=
        " Inputs of experts’ down projections are left out: each expert has channels of its own.";
  for (const OutlierChannels& input : inputs) {
    Index shared = 0;
    for (const Index channel : input.outliers)
      for (const TopDimension& top : detail.top_dimensions) shared += top.dimension == channel ? 1 : 0;
    table.rows.push_back({input.layer, input.input, cell(input.max), cell(input.median),
                          input.median > 0 ? cell(input.max / input.median) : Cell{}, input.outlier_count,
                          fmt::format("{}", fmt::join(input.outliers, " ")),
                          input.residual_channels && !detail.top_dimensions.empty() ? Cell(shared) : Cell{}});
  }
  return table;
}

Table occurrence_table(const HighNormDetail& detail) {
  Table table{
      .id = "first-occurrences",
      .title = "First occurrence against later ones",
      .sentence =
          "Of tokens that spike away from the first position: mean of their largest norm over the "
          "layers.",
      .columns =
          {{"token"}, {"id"}, {"first", "", "occurrences"}, {"their norm"}, {"later"}, {"norm of later"}},
      .rows = {}};
  for (const OccurrenceNorms& token : detail.occurrences)
    table.rows.push_back({token.token, Index{token.id}, token.first,
                          token.first > 0 ? cell(token.first_peak) : Cell{}, token.later,
                          token.later > 0 ? cell(token.later_peak) : Cell{}});
  return table;
}

Json detail_json(const ScanResult& scan, const HighNormDetail& detail,
                 const std::vector<OutlierChannels>& matmul_inputs) {
  Json occurrences = Json::array(), dimensions = Json::array(), inputs = Json::array(),
       between = Json::array(), tokens = Json::array();
  for (const OccurrenceNorms& token : detail.occurrences)
    occurrences.push_back({{"id", token.id},
                           {"token", token.token},
                           {"first", token.first},
                           {"first_peak_norm", token.first > 0 ? number(token.first_peak) : Json(nullptr)},
                           {"later", token.later},
                           {"later_peak_norm", token.later > 0 ? number(token.later_peak) : Json(nullptr)}});
  for (const TopDimension& top : detail.top_dimensions)
    dimensions.push_back(
        {{"dimension", top.dimension}, {"component", number(top.component)}, {"share", number(top.share)}});
  for (const OutlierChannels& input : matmul_inputs)
    inputs.push_back({{"layer", input.layer},
                      {"input", input.input},
                      {"channels", input.channels},
                      {"max", number(input.max)},
                      {"median", number(input.median)},
                      {"outlier_count", input.outlier_count},
                      {"outliers", input.outliers}});
  for (const auto& row : detail.between_layers_degrees) between.push_back(numbers(row));
  for (const SpikeToken& token : scan.high_norm.tokens)
    tokens.push_back({{"id", token.id},
                      {"token", token.token},
                      {"initial", token.initial},
                      {"non_initial", token.non_initial},
                      {"peak_norm", number(token.peak_norm)},
                      {"attention_share_by_layer", numbers(token.attention_share_by_layer)}});
  const bool high = scan.high_norm.count > 0;
  return {{"threshold", high ? number(scan.high_norm.threshold) : Json(nullptr)},
          {"count", scan.high_norm.count},
          {"mean_pairwise_angle_degrees",
           scan.high_norm.count > 1 ? number(scan.high_norm.mean_pairwise_angle_degrees) : Json(nullptr)},
          {"angle_states", scan.high_norm.angle_states},
          {"looked_at", {{"rows", detail.rows}, {"tokens", detail.tokens}}},
          {"states_by_layer", detail.states_by_layer},
          {"layer_angle_degrees", numbers(detail.layer_angle_degrees)},
          {"between_layers_degrees", std::move(between)},
          {"initial_states", detail.initial_states},
          {"non_initial_states", detail.non_initial_states},
          {"initial_to_non_initial_degrees", number(detail.initial_to_non_initial_degrees)},
          {"tokens", std::move(tokens)},
          {"occurrences", std::move(occurrences)},
          {"top_dimensions", std::move(dimensions)},
          {"matmul_inputs", std::move(inputs)}};
}

}  // namespace

AnalysisOutput high_norm_output(const ScanResult& scan, const HighNormDetail& detail,
                                const std::vector<OutlierChannels>& matmul_inputs) {
  Section section{.id = "high-norm", .heading = "High-norm tokens", .stage = Stage::kPlateau};
  const HighNorm& high = scan.high_norm;
  if (high.count == 0) {
    section.sentences.push_back(
        "This model has no high-norm tokens: no hidden state stands out from the others in any layer.");
  } else {
    section.sentences.push_back(
        fmt::format("{} hidden states are above {:.4g}; any two of them make an angle of {:.2f}° on average "
                    "(all pairs of {} "
                    "states).",
                    high.count, high.threshold, high.mean_pairwise_angle_degrees, high.angle_states));
    if (detail.initial_to_non_initial_degrees)
      section.sentences.push_back(
          fmt::format("In the first {} tokens, initial ({}) and later ({}) high-norm states point {:.2f}° "
                      "apart in the mean.",
                      detail.tokens, detail.initial_states, detail.non_initial_states,
                      *detail.initial_to_non_initial_degrees));
    section.tables.push_back(spike_token_table(scan));
    section.charts.push_back(between_layers_chart(detail));
    Chart attention = attention_chart(scan);
    if (!attention.series.empty()) section.charts.push_back(std::move(attention));
    if (!detail.occurrences.empty()) section.tables.push_back(occurrence_table(detail));
    section.tables.push_back(dimension_table(detail));
  }
  section.tables.push_back(outlier_table(detail, matmul_inputs));
  std::string summary;
  for (const std::string& sentence : section.sentences) summary += sentence + "\n";
  return {.name = "high-norm",
          .json = analysis_json("high-norm", model_facts(scan), options_json(scan),
                                detail_json(scan, detail, matmul_inputs)),
          .summary = std::move(summary),
          .sections = {std::move(section)}};
}

AnalysisOutput singular_output(const ScanResult& scan, const AccumulatedDirections& directions) {
  Section section{
      .id = "singular", .heading = "Explosion: what the weights predict", .stage = Stage::kExplosion};
  Json layers = Json::array();
  for (std::size_t i = 0; i < directions.layers.size(); ++i) {
    const LayerDirections& one = directions.layers[i];
    const LayerReport& report = scan.layer_reports[i];
    layers.push_back({{"layer", one.layer},
                      {"left_angle_degrees", number(report.left_angle_degrees)},
                      {"ffn_left_angle_degrees", number(report.ffn_left_angle_degrees)},
                      {"attention_left_angle_degrees", number(one.attention_angle_degrees)},
                      {"accumulated_angle_degrees", number(one.accumulated_angle_degrees)},
                      {"singular_values", numbers(report.singular_values)},
                      {"ffn_singular_values", numbers(report.ffn_singular_values)},
                      {"attention_singular_value", number(one.attention_singular_value)}});
  }
  std::string summary;
  if (scan.high_norm.count == 0) {
    section.sentences.push_back(
        "This model has no high-norm tokens, so there is no empirical direction to compare the weights with; "
        "singular.json holds the singular values.");
    summary = section.sentences[0] + "\n";
  } else {
    Chart chart = singular_angle_chart(scan);
    Series attention{.name = "of A alone", .x = {}, .y = {}},
        accumulated{.name = "of the product of layers 1 to this one", .x = {}, .y = {}};
    for (const LayerDirections& one : directions.layers) {
      for (Series* series : {&attention, &accumulated}) series->x.push_back(static_cast<double>(one.layer));
      attention.y.push_back(one.attention_angle_degrees.value_or(std::nan("")));
      accumulated.y.push_back(one.accumulated_angle_degrees.value_or(std::nan("")));
    }
    chart.series.push_back(std::move(attention));
    if (directions.note.empty()) chart.series.push_back(std::move(accumulated));
    summary = chart.sentence + "\n";
    section.charts.push_back(std::move(chart));
  }
  if (!directions.note.empty()) section.sentences.push_back(directions.note);
  return {.name = "singular",
          .json = analysis_json("singular", model_facts(scan), options_json(scan),
                                {{"note", directions.note.empty() ? Json(nullptr) : Json(directions.note)},
                                 {"layers", layers}}),
          .summary = std::move(summary),
          .sections = {std::move(section)}};
}

AnalysisOutput decay_output(const ScanResult& scan, const std::vector<DecayCorollary>& corollary) {
  Section section{.id = "decay", .heading = "Decay: the layer that removes them", .stage = Stage::kDecay};
  Json layers = Json::array(), fed = Json::array();
  for (const LayerReport& report : scan.layer_reports) {
    Json eigenvalue = nullptr;
    if (report.eigenvalue)
      eigenvalue = {{"re", number(report.eigenvalue->real())}, {"im", number(report.eigenvalue->imag())}};
    layers.push_back({{"layer", report.layer},
                      {"eigenvalue", std::move(eigenvalue)},
                      {"eigenvector_angle_degrees", number(report.eigenvector_angle_degrees)},
                      {"eigenvector_span_angle_degrees", number(report.eigenvector_span_angle_degrees)},
                      {"eigenpair_certified", report.eigenpair_certified},
                      {"rayleigh", number(report.rayleigh)},
                      {"decay_ratio", number(report.decay_ratio)},
                      {"decay_inputs", report.decay_inputs}});
  }
  if (scan.high_norm.count == 0)
    section.sentences.push_back("This model has no high-norm tokens, so nothing decays.");
  else
    section.charts.push_back(decay_eigenvalue_chart(scan));
  if (scan.high_norm.count > 0 && scan.decay_layers.empty())
    section.sentences.push_back(scan.gradual_decay
                                    ? "High norms shrink over many layers; none removes them alone."
                                    : "No layer removes the high norms before the end.");
  Table table{.id = "decay-corollary",
              .title = "Ordinary tokens fed to the decay layer",
              .sentence =
                  "Each ordinary state as a lone token through the real layer. The paper's corollary: they "
                  "stay ordinary.",
              .columns = {{"layer"},
                          {"states"},
                          {"median norm before"},
                          {"largest before"},
                          {"median norm after"},
                          {"largest after"},
                          {"became high"}},
              .rows = {}};
  for (const DecayCorollary& one : corollary) {
    fed.push_back({{"layer", one.layer},
                   {"states", one.states},
                   {"median_before", number(one.median_before)},
                   {"max_before", number(one.max_before)},
                   {"median_after", number(one.median_after)},
                   {"max_after", number(one.max_after)},
                   {"became_high", one.became_high}});
    section.sentences.push_back(fmt::format(
        "Of {} ordinary states fed to decay layer {}, {} leave it above the threshold {:.4g}.", one.states,
        one.layer, one.became_high == 0 ? std::string("none") : std::to_string(one.became_high),
        scan.high_norm.threshold));
    table.rows.push_back({one.layer, one.states, cell(one.median_before), cell(one.max_before),
                          cell(one.median_after), cell(one.max_after), one.became_high});
  }
  if (!corollary.empty()) section.tables.push_back(std::move(table));
  std::string summary = section.charts.empty() ? std::string() : section.charts[0].sentence + "\n";
  for (const std::string& sentence : section.sentences) summary += sentence + "\n";
  return {
      .name = "decay",
      .json = analysis_json(
          "decay", model_facts(scan), options_json(scan),
          {{"decay_layers", layer_numbers(scan.decay_layers)}, {"layers", layers}, {"ordinary_inputs", fed}}),
      .summary = std::move(summary),
      .sections = {std::move(section)}};
}

}  // namespace defectoscope
