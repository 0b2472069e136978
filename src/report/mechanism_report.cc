#include "report/mechanism_report.h"

#include <fmt/format.h>

#include "report/scan_sections.h"

namespace defectoscope {
namespace {

std::string path_name(const LonePath& path) {
  return path.token.empty() ? fmt::format("mean of {} entries", path.tokens) : path.token;
}

/// As a name among words: a full stop would pass for punctuation.
std::string quoted_name(const LonePath& path) {
  return path.token.empty() ? path_name(path) : "“" + path.token + "”";
}

std::string degrees(const std::optional<double>& angle) {
  return angle ? fmt::format("{:.1f}°", *angle) : std::string("an unknown angle");
}

Table path_table(const Mechanism& mechanism) {
  Table table{
      .id = "mechanism-path",
      .title = "A lone token's norm, step by step",
      .sentence =
          "As a sequence of its own. LLaMA2-7B, published: 3.49 before the FFN of layer 2, 932.25 after it.",
      .columns = {{"token"}, {"layer"}, {"before attention"}, {"before FFN"}, {"after the layer"}},
      .rows = {}};
  for (const LonePath& path : mechanism.paths)
    for (const PathStep& step : path.steps)
      table.rows.push_back({path_name(path), step.layer, cell(step.before_attention), cell(step.before_ffn),
                            cell(step.after)});
  return table;
}

Chart path_chart(const Mechanism& mechanism) {
  Chart chart{.id = "mechanism-path-norms",
              .title = "A lone token's way to the explosion",
              .sentence = {},
              .kind = ChartKind::kLines,
              .x = {.label = "place"},
              .y = {.label = "norm", .log = true}};
  const auto& steps = mechanism.paths.front().steps;
  chart.x.categories.emplace_back("embedding");
  for (const PathStep& step : steps) {
    if (step.before_ffn) chart.x.categories.push_back(fmt::format("attention {}", step.layer));
    chart.x.categories.push_back(fmt::format("{} {}", step.before_ffn ? "FFN" : "layer", step.layer));
  }
  for (const LonePath& path : mechanism.paths) {
    Series series{.name = quoted_name(path), .x = {}, .y = {path.embedding}};
    for (const PathStep& step : path.steps) {
      if (step.before_ffn) series.y.push_back(*step.before_ffn);
      series.y.push_back(step.after);
    }
    for (std::size_t i = 0; i < series.y.size(); ++i) series.x.push_back(static_cast<double>(i));
    chart.series.push_back(std::move(series));
  }
  const LonePath& first = mechanism.paths.front();
  chart.sentence =
      fmt::format("{} enters layer {} with norm {:.3g} and leaves it with {:.3g}.", quoted_name(first),
                  first.steps.back().layer, first.steps.back().before_attention, first.steps.back().after);
  return chart;
}

std::string development_sentence(const ExplosionEvidence& e, Index entries) {
  return fmt::format(
      "Development: of {} vocabulary entries, {} have a high norm after layer {} as the first token, {} as "
      "the second, {} with all attention removed (mean norms {:.3g}, {:.3g}, {:.3g}).",
      entries, e.high_first, e.layer, e.high_second, e.high_without_attention, e.mean_first, e.mean_second,
      e.mean_without_attention);
}

std::string trigger_sentence(const ExplosionEvidence& e) {
  return fmt::format(
      "Trigger: the leading right singular vector of layer {}'s FFN, made linear (F), comes out of the real "
      "FFN with norm {:.3g}, the best of the next few with {:.3g}; before the FFN its coefficient is {:.3g} "
      "in first tokens and {:.3g} in second ones.",
      e.layer, e.leading_output, e.next_output, e.coefficient_first, e.coefficient_second);
}

std::string explosion_sentence(const ExplosionEvidence& e) {
  return fmt::format(
      "Explosion: the left singular vector of the whole layer {}, made linear (L), lies {} from "
      "the direction that high-norm tokens share, that of its FFN alone (F) {}.",
      e.layer, degrees(e.left_angle_degrees), degrees(e.ffn_left_angle_degrees));
}

std::string decay_sentence(const DecayEvidence& d) {
  std::string text = fmt::format("Decay: layer {}", d.layer);
  if (d.eigenvalue_re)
    text += fmt::format(" has an eigenvalue {:.3g} whose eigenvector lies {} from the direction;",
                        *d.eigenvalue_re, degrees(d.eigenvector_angle_degrees));
  if (d.decay_ratio)
    text += fmt::format(" the real layer changes high norms by {:.2f} of themselves", *d.decay_ratio);
  return text + ".";
}

std::vector<Section> sections_of(const Mechanism& m) {
  if (m.explosions.empty() && m.decays.empty())
    return {{.id = "mechanism", .heading = "Mechanism", .stage = Stage::kOverview, .sentences = {m.reason}}};
  // The whole life in a few sentences comes first; the analyses' own sections follow in its order.
  Section life{.id = "mechanism", .heading = "In short: a token's life", .stage = Stage::kOverview};
  Section development{.id = "mechanism-development",
                      .heading = "Development: the way to the explosion",
                      .stage = Stage::kDevelopment};
  if (!m.reason.empty()) life.sentences.push_back(m.reason);
  for (const ExplosionEvidence& e : m.explosions)
    life.sentences.push_back(development_sentence(e, m.entries));
  for (const ExplosionEvidence& e : m.explosions) life.sentences.push_back(trigger_sentence(e));
  for (const ExplosionEvidence& e : m.explosions) life.sentences.push_back(explosion_sentence(e));
  if (!m.paths.empty()) {
    development.charts.push_back(path_chart(m));
    development.tables.push_back(path_table(m));
  }
  for (const DecayEvidence& d : m.decays) life.sentences.push_back(decay_sentence(d));
  if (m.decays.empty()) life.sentences.emplace_back("Decay: no layer removes the high norms abruptly.");
  std::vector<Section> sections = {std::move(life)};
  if (!development.charts.empty()) sections.push_back(std::move(development));
  return sections;
}

Json explosion_json(const ExplosionEvidence& e) {
  return {{"layer", e.layer},
          {"high_first", e.high_first},
          {"high_second", e.high_second},
          {"high_without_attention", e.high_without_attention},
          {"mean_first", number(e.mean_first)},
          {"mean_second", number(e.mean_second)},
          {"mean_without_attention", number(e.mean_without_attention)},
          {"leading_output", number(e.leading_output)},
          {"next_output", number(e.next_output)},
          {"coefficient_first", number(e.coefficient_first)},
          {"coefficient_second", number(e.coefficient_second)},
          {"left_angle_degrees", number(e.left_angle_degrees)},
          {"ffn_left_angle_degrees", number(e.ffn_left_angle_degrees)}};
}

Json mechanism_json(const Mechanism& m) {
  Json paths = Json::array(), explosions = Json::array(), decays = Json::array();
  for (const LonePath& path : m.paths) {
    Json steps = Json::array();
    for (const PathStep& step : path.steps)
      steps.push_back({{"layer", step.layer},
                       {"before_attention", number(step.before_attention)},
                       {"before_ffn", number(step.before_ffn)},
                       {"after", number(step.after)}});
    paths.push_back({{"token", path.token.empty() ? Json(nullptr) : Json(path.token)},
                     {"tokens", path.tokens},
                     {"embedding", number(path.embedding)},
                     {"steps", std::move(steps)}});
  }
  for (const ExplosionEvidence& e : m.explosions) explosions.push_back(explosion_json(e));
  for (const DecayEvidence& d : m.decays)
    decays.push_back({{"layer", d.layer},
                      {"eigenvalue_re", number(d.eigenvalue_re)},
                      {"eigenvector_angle_degrees", number(d.eigenvector_angle_degrees)},
                      {"decay_ratio", number(d.decay_ratio)}});
  return {{"reason", m.reason.empty() ? Json(nullptr) : Json(m.reason)},
          {"threshold", m.paths.empty() ? Json(nullptr) : number(m.threshold)},
          {"entries", m.entries},
          {"paths", std::move(paths)},
          {"explosions", std::move(explosions)},
          {"decays", std::move(decays)}};
}

}  // namespace

AnalysisOutput mechanism_output(const ScanResult& scan, const Mechanism& mechanism) {
  std::vector<Section> sections = sections_of(mechanism);
  std::string summary;
  for (const Section& section : sections)
    for (const std::string& sentence : section.sentences) summary += sentence + "\n";
  for (const LonePath& path : mechanism.paths) {
    summary += fmt::format("  {}: embedding {:.3g}", path_name(path), path.embedding);
    for (const PathStep& step : path.steps)
      summary += fmt::format(", layer {}:{} {:.3g}", step.layer,
                             step.before_ffn ? fmt::format(" attention {:.3g}, FFN", *step.before_ffn) : "",
                             step.after);
    summary += "\n";
  }
  return {.name = "mechanism",
          .json = analysis_json(
              "mechanism", model_facts(scan),
              {{"seed", scan.seed}, {"compute", scan.compute}, {"paper_parity", scan.paper_parity}},
              mechanism_json(mechanism)),
          .summary = std::move(summary),
          .sections = std::move(sections)};
}

}  // namespace defectoscope
