#include "report/emergence_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "report/scan_sections.h"

namespace defectoscope {
namespace {

std::string window_text(const EmergenceFactors& factors) {
  return factors.windowed_layers == 0
             ? "none"
             : fmt::format("{} in {} layers", factors.window, factors.windowed_layers);
}

Table factor_table(std::span<const EmergenceRow> rows) {
  Table table{.id = "emergence-factors",
              .title = "What sets the models apart, and what came of it",
              .columns = {{"model"},
                          {"family"},
                          {"causal"},
                          {"window"},
                          {"positions"},
                          {"FFN"},
                          {"queries per key", "", "above 1: grouped queries"},
                          {"parallel", "", "attention and FFN side by side"},
                          {"norms"},
                          {"ratio", "", "of high norms to the ordinary norm, median; empty: none"},
                          {"pairwise angle", "°"},
                          {"explosion layers"},
                          {"decay layers"}},
              .rows = {}};
  for (const EmergenceRow& row : rows)
    table.rows.push_back({row.name, row.family, row.factors.causal, window_text(row.factors),
                          row.factors.positions, row.factors.ffn, row.factors.queries_per_key,
                          row.factors.parallel, row.factors.norm,
                          row.has_high_norms ? cell(row.median_ratio) : Cell{},
                          row.has_high_norms ? cell(row.mean_pairwise_angle_degrees) : Cell{},
                          fmt::format("{}", fmt::join(row.explosion_layers, ", ")),
                          fmt::format("{}", fmt::join(row.decay_layers, ", "))});
  return table;
}

Json row_json(const EmergenceRow& row) {
  const EmergenceFactors& f = row.factors;
  return {{"name", row.name},
          {"family", row.family},
          {"factors",
           {{"causal", f.causal},
            {"window", f.windowed_layers > 0 ? Json(f.window) : Json(nullptr)},
            {"windowed_layers", f.windowed_layers},
            {"positions", f.positions},
            {"ffn", f.ffn},
            {"queries_per_key", f.queries_per_key},
            {"parallel", f.parallel},
            {"norm", f.norm}}},
          {"has_high_norms", row.has_high_norms},
          {"median_ratio", row.has_high_norms ? number(row.median_ratio) : Json(nullptr)},
          {"first_position", row.first_position},
          {"later_positions", row.later_positions},
          {"mean_pairwise_angle_degrees",
           row.has_high_norms ? number(row.mean_pairwise_angle_degrees) : Json(nullptr)},
          {"explosion_layers", row.explosion_layers},
          {"decay_layers", row.decay_layers},
          {"sentence", row.sentence}};
}

}  // namespace

AnalysisOutput emergence_output(const ScanResult& first, std::span<const EmergenceRow> rows) {
  Section section{.id = "emergence",
                  .heading = "Emergence: which designs have high norms",
                  .stage = Stage::kBeyond,
                  .sentences = {},
                  .charts = {},
                  .tables = {factor_table(rows)}};
  Json list = Json::array();
  std::string summary;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const EmergenceRow& row = rows[i];
    section.sentences.push_back(row.name + ": " + row.sentence);
    summary += fmt::format("{}: {}\n", row.name, row.sentence);
    section.charts.push_back(
        landscape_chart(row.landscape, fmt::format("emergence-landscape-{}", i + 1), row.name, row.sentence));
    list.push_back(row_json(row));
  }
  return {.name = "emergence",
          .json = analysis_json("emergence", model_facts(first),
                                {{"seed", first.seed}, {"text", first.calibration.source}},
                                {{"models", std::move(list)}}),
          .summary = std::move(summary),
          .sections = {std::move(section)}};
}

}  // namespace defectoscope
