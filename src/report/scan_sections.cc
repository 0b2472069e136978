#include "report/scan_sections.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "report/scan_report.h"

namespace defectoscope {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

/// One value a layer, NaN where there is none.
template <typename Value>
Series per_layer(const ScanResult& r, const std::string& name, Value value, bool second_axis = false) {
  Series series{.name = name, .x = {}, .y = {}};
  series.second_axis = second_axis;
  for (const LayerReport& layer : r.layer_reports) {
    series.x.push_back(static_cast<double>(layer.layer));
    const std::optional<double> y = value(layer);
    series.y.push_back(y.value_or(kNone));
  }
  return series;
}

Axis angle_axis(const std::string& label) { return {.label = label, .unit = "degrees", .min = 0, .max = 95}; }

std::string angles_at(const ScanResult& r, const std::vector<FoundLayer>& layers,
                      std::optional<double> LayerReport::* angle) {
  std::string text;
  for (const FoundLayer& found : layers)
    for (const LayerReport& layer : r.layer_reports)
      if (layer.layer == found.layer && layer.*angle)
        text += fmt::format("{}layer {} at {:.1f}°", text.empty() ? "" : ", ", layer.layer, *(layer.*angle));
  return text;
}

Section trust_section(const ScanResult& r) {
  Chart chart{.id = "trust",
              .title = "Share of the FFN's variance explained",
              .sentence = {},
              .kind = ChartKind::kLines,
              .x = layer_axis(r, false),
              .y = {.label = "share of variance", .min = 0, .max = 1.03}};
  chart.series.push_back(
      per_layer(r, "linear", [](const LayerReport& layer) { return layer.linear_variance_explained; }));
  chart.series.push_back(per_layer(r, "linear + quadratic", [](const LayerReport& layer) {
    return layer.linear_variance_explained + layer.quadratic_variance_explained;
  }));
  const auto& linear = chart.series[0].y;
  chart.sentence = fmt::format(
      "Share of the FFN activation stage's variance that its linear and quadratic terms explain, in closed "
      "form: "
      "between {:.0f} and {:.0f} % for the linear one. Where that is small, singular vectors are a rough "
      "guide.",
      100 * *std::min_element(linear.begin(), linear.end()),
      100 * *std::max_element(linear.begin(), linear.end()));
  return {.id = "trust",
          .heading = "How far to trust the linear form",
          .stage = Stage::kBeyond,
          .charts = {std::move(chart)}};
}

Section layers_section(const ScanResult& r) {
  Table table{.id = "layers",
              .title = "Directions, eigenvalues and norms",
              .sentence = "Press a column's head to sort by it; a further column may lie to the right.",
              .columns = {{"layer"},
                          {"role"},
                          {"angle L", "°", "left singular vector of L to the empirical direction"},
                          {"angle F", "°", "the same of F alone"},
                          {"σ1"},
                          {"σ2"},
                          {"eigenvalue", "", "of R = L − I, whose eigenvector lies nearest (real part)"},
                          {"its angle", "°"},
                          {"certified", "", "the residual proves the eigenpair"},
                          {"Rayleigh", "", "quotient of R at the empirical direction"},
                          {"decay ratio", "", "of the real layer on its high-norm inputs"},
                          {"linear", "", "share of the FFN's variance"},
                          {"quadratic"},
                          {"passes"},
                          {"residual"}},
              .rows = {}};
  for (const LayerReport& l : r.layer_reports) {
    Cell role;
    const auto here = [&](const FoundLayer& found) { return found.layer == l.layer; };
    if (std::any_of(r.explosion_layers.begin(), r.explosion_layers.end(), here))
      role = std::string("explosion");
    if (std::any_of(r.decay_layers.begin(), r.decay_layers.end(), here))
      role = std::holds_alternative<std::string>(role) ? std::string("both") : std::string("decay");
    const auto sigma = [&](std::size_t i) {
      return i < l.singular_values.size() ? cell(l.singular_values[i]) : Cell{};
    };
    table.rows.push_back({l.layer, role, cell(l.left_angle_degrees), cell(l.ffn_left_angle_degrees), sigma(0),
                          sigma(1), l.eigenvalue ? cell(l.eigenvalue->real()) : Cell{},
                          cell(l.eigenvector_angle_degrees),
                          l.eigenvalue ? Cell(l.eigenpair_certified) : Cell{}, cell(l.rayleigh),
                          cell(l.decay_ratio), cell(l.linear_variance_explained),
                          cell(l.quadratic_variance_explained), l.passes, cell(l.residual)});
  }
  return {.id = "layers", .heading = "Every layer", .stage = Stage::kBeyond, .tables = {std::move(table)}};
}

std::string confidences(const std::vector<FoundLayer>& layers) {
  std::string text;
  for (const FoundLayer& found : layers)
    text += fmt::format("{}{:.2f}", text.empty() ? "" : ", ", found.confidence);
  return text;
}

std::vector<Card> scan_cards(const ScanResult& r) {
  if (r.high_norm.count == 0)
    return {{"None", "no token's hidden state stands out from the others in any layer"}};
  const auto card = [](const std::vector<FoundLayer>& layers, const char* does, const char* none,
                       const std::string& why) -> Card {
    if (layers.empty()) return {none, why};
    return {"Layer " + layer_list(layers), fmt::format("{} (confidence {})", does, confidences(layers))};
  };
  std::vector<Card> cards = {
      card(r.explosion_layers, "makes the high-norm tokens", "No single layer",
           r.gradual_growth ? "makes them: norms grow over many layers" : "makes them abruptly"),
      card(r.decay_layers, "removes them", "No layer",
           r.gradual_decay ? "removes them: norms shrink over many layers" : "removes them before the end"),
      {fmt::format("{:.4g}", r.high_norm.threshold),
       fmt::format("threshold; {} hidden states above it", r.high_norm.count)}};
  if (r.high_norm.count > 1)
    cards.push_back({fmt::format("{:.2f}°", r.high_norm.mean_pairwise_angle_degrees),
                     "mean angle between any two of them: how well one direction describes them"});
  return cards;
}

}  // namespace

ModelFacts model_facts(const ScanResult& r) {
  return {.name = r.model_name,
          .family = r.family,
          .model_type = r.model_type,
          .fingerprint = r.fingerprint,
          .dtype = r.dtype,
          .layers = r.layers,
          .hidden_size = r.hidden_size,
          .vocab_size = r.vocab_size,
          .parameters = r.parameters};
}

std::vector<Mark> life_cycle_marks(const ScanResult& r) {
  std::vector<Mark> marks;
  for (const FoundLayer& found : r.explosion_layers)
    marks.push_back({static_cast<double>(found.layer), "explosion", Mark::Kind::kExplosion});
  for (const FoundLayer& found : r.decay_layers)
    marks.push_back({static_cast<double>(found.layer), "decay", Mark::Kind::kDecay});
  return marks;
}

Axis layer_axis(const ScanResult& r, bool embedding) {
  return {.label = "layer",
          .whole = true,
          .min = embedding ? -0.5 : 0.5,
          .max = static_cast<double>(r.layers) + 0.5};
}

std::string layer_list(const std::vector<FoundLayer>& layers) {
  std::string text;
  for (const FoundLayer& found : layers) text += fmt::format("{}{}", text.empty() ? "" : ", ", found.layer);
  return text;
}

Chart landscape_chart(const NormLandscape& landscape, const std::string& id, const std::string& title,
                      const std::string& sentence) {
  Chart chart{.id = id,
              .title = title,
              .sentence = sentence,
              .kind = ChartKind::kLandscape,
              .x = {.label = "layer", .whole = true},
              .y = {.label = "token", .categories = landscape.tokens},
              .value = {.label = "norm"}};
  for (std::size_t token = 0; token < landscape.tokens.size(); ++token) {
    std::vector<double> wall;
    for (const auto& norms : landscape.norms) wall.push_back(norms[token]);
    chart.grid.push_back(std::move(wall));
  }
  return chart;
}

Chart singular_angle_chart(const ScanResult& r) {
  const std::string found = angles_at(r, r.explosion_layers, &LayerReport::left_angle_degrees);
  Chart chart{.id = "singular-angle",
              .title = "What the weights alone predict",
              .sentence = fmt::format(
                  "A small angle means that this layer's weights alone, without any data, "
                  "point where the high-norm tokens point. L is the whole layer made linear, F its FFN, "
                  "A its attention{}{}.",
                  found.empty() ? "" : ". Explosion: ", found),
              .kind = ChartKind::kLines,
              .x = layer_axis(r, false),
              .y = angle_axis("angle to direction")};
  chart.series.push_back(per_layer(r, "left singular vector of L",
                                   [](const LayerReport& layer) { return layer.left_angle_degrees; }));
  chart.series.push_back(
      per_layer(r, "of F alone", [](const LayerReport& layer) { return layer.ffn_left_angle_degrees; }));
  chart.marks = life_cycle_marks(r);
  return chart;
}

Chart decay_eigenvalue_chart(const ScanResult& r) {
  const std::string found = angles_at(r, r.decay_layers, &LayerReport::eigenvector_angle_degrees);
  Chart chart{
      .id = "decay-eigenvalue",
      .title = "Eigenvalues of the residual part",
      .sentence = fmt::format(
          "The decay layer has a negative eigenvalue whose eigenvector lies near the empirical direction "
          "(small angle); the real layer then removes the high norm: ratio near −1{}{}.",
          found.empty() ? "" : ". Decay: ", found),
      .kind = ChartKind::kLines,
      .x = layer_axis(r, false),
      .y = angle_axis("angle of eigenvector"),
      .y2 = {.label = "eigenvalue of R, decay ratio"}};
  chart.series.push_back(per_layer(r, "angle of eigenvector",
                                   [](const LayerReport& layer) { return layer.eigenvector_angle_degrees; }));
  chart.series.push_back(per_layer(
      r, "eigenvalue of R (right)",
      [](const LayerReport& layer) {
        return layer.eigenvalue ? std::optional<double>(layer.eigenvalue->real()) : std::nullopt;
      },
      true));
  chart.series.push_back(per_layer(
      r, "real decay ratio (right)", [](const LayerReport& layer) { return layer.decay_ratio; }, true));
  chart.marks = life_cycle_marks(r);
  return chart;
}

Table spike_token_table(const ScanResult& r) {
  Table table{.id = "spike-tokens",
              .title = "High-norm tokens",
              .sentence = "Vocabulary entries whose hidden states pass the threshold.",
              .columns = {{"token"},
                          {"id"},
                          {"high", "", "occurrences with high norm"},
                          {"seen", "", "occurrences in the calibration text"},
                          {"initial", "", "high as the first token of a text"},
                          {"elsewhere", "", "high at later positions"},
                          {"first of its text", "", "share of its later high occurrences that are its first"},
                          {"peak norm"},
                          {"attention", "", "largest share, over layers, that later tokens pay to it"}},
              .rows = {}};
  for (const SpikeToken& s : r.high_norm.tokens) {
    const auto& shares = s.attention_share_by_layer;
    table.rows.push_back({s.token, Index{s.id}, s.count, s.occurrences, s.initial, s.non_initial,
                          s.non_initial ? cell(s.first_occurrence_share) : Cell{}, cell(s.peak_norm),
                          shares.empty() ? Cell{} : cell(*std::max_element(shares.begin(), shares.end()))});
  }
  return table;
}

ModelPage scan_page(const ScanResult& r) {
  ModelPage page{
      .name = r.model_name,
      .facts = fmt::format("{}; calibrated on {} rows ({} tokens), {}.", facts_line(model_facts(r)),
                           r.calibration.rows_used, r.calibration.tokens, r.calibration.source),
      .cards = scan_cards(r),
      .sections = {},
      .summary = scan_summary(r, "")};
  const bool high = r.high_norm.count > 0;
  std::string sentence =
      "Each wall is one token of a sentence; its height is the length of its hidden state after each layer "
      "(0 is "
      "the embedding).";
  if (!r.explosion_layers.empty())
    sentence += fmt::format(" A token that shoots up at layer {} is a high-norm token.",
                            layer_list(r.explosion_layers));
  if (!r.landscape.tokens.empty())
    page.sections.push_back(
        {.id = "norms",
         .heading = "Norms: how hidden states grow",
         .stage = Stage::kDevelopment,
         .charts = {landscape_chart(r.landscape, "norm-landscape", "Norm landscape", sentence)}});
  if (high) {
    page.sections.push_back({.id = "high-norm",
                             .heading = "High-norm tokens",
                             .stage = Stage::kPlateau,
                             .tables = {spike_token_table(r)}});
    page.sections.push_back({.id = "singular",
                             .heading = "Explosion: what the weights predict",
                             .stage = Stage::kExplosion,
                             .charts = {singular_angle_chart(r)}});
    page.sections.push_back({.id = "decay",
                             .heading = "Decay: the layer that removes them",
                             .stage = Stage::kDecay,
                             .charts = {decay_eigenvalue_chart(r)}});
  }
  page.sections.push_back(trust_section(r));
  page.sections.push_back(layers_section(r));
  return page;
}

}  // namespace defectoscope
