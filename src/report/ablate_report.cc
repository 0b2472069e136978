#include <fmt/format.h>

#include <algorithm>

#include "report/probe_reports.h"
#include "report/scan_sections.h"

namespace defectoscope {
namespace {

Chart norms_chart(const ScanResult& scan, const AblationResult& result) {
  Chart chart{.id = "ablate-norms",
              .title = "Largest norm of every layer",
              .sentence = {},
              .kind = ChartKind::kLines,
              .x = layer_axis(scan, true),
              .y = {.label = "norm", .log = true}};
  for (const AblationRun& run : result.runs) {
    Series series{.name = run.name == "none" ? "untouched" : run.name, .x = {}, .y = {}};
    for (const LayerNorms& layer : run.norms) {
      series.x.push_back(static_cast<double>(layer.layer));
      series.y.push_back(layer.max);
    }
    chart.series.push_back(std::move(series));
  }
  const auto middle = static_cast<std::size_t>(scan.layers / 2);
  chart.sentence = fmt::format("After layer {}, half way: ", middle);
  for (const AblationRun& run : result.runs)
    chart.sentence +=
        fmt::format("{}{:.4g} {}", &run == &result.runs.front() ? "" : ", ", run.norms[middle].max,
                    run.name == "none" ? "untouched" : fmt::format("under “{}”", run.name));
  chart.sentence += fmt::format(" (median token: {:.3g}).", result.runs.front().norms[middle].median);
  chart.marks = life_cycle_marks(scan);
  return chart;
}

Table run_table(const AblationResult& result) {
  Table table{.id = "ablate-perplexity",
              .title = "Perplexity before and after",
              .sentence = fmt::format("On {} tokens of the calibration text, windows of {}.", result.tokens,
                                      result.window),
              .columns = {{"ablation"}, {"perplexity"}, {"mean loss", "nats"}},
              .rows = {}};
  for (const AblationRun& run : result.runs)
    table.rows.push_back({run.name, cell(run.perplexity), cell(run.mean_loss)});
  return table;
}

Table text_table(const AblationResult& result) {
  Table table{.id = "ablate-texts",
              .title = "The same prompts, continued",
              .sentence = "Same seeds; each column is one model.",
              .columns = {},
              .rows = {}};
  std::size_t count = 0;
  for (const AblationRun& run : result.runs) {
    table.columns.push_back({run.name == "none" ? "untouched" : run.name});
    count = std::max(count, run.texts.size());
  }
  for (std::size_t i = 0; i < count; ++i) {
    std::vector<Cell> row;
    for (const AblationRun& run : result.runs)
      row.push_back(i < run.texts.size() ? Cell(run.texts[i]) : Cell{});
    table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace

AnalysisOutput ablate_output(const ScanResult& scan, const AblationResult& result) {
  Section section = probe_section("ablate");
  section.sentences = result.notes;
  section.charts.push_back(norms_chart(scan, result));
  if (result.runs.front().perplexity) section.tables.push_back(run_table(result));
  if (!result.runs.front().texts.empty()) section.tables.push_back(text_table(result));
  Json sites = Json::array(), runs = Json::array();
  std::vector<Index> layers;
  for (const AblationSite& site : result.sites) {
    layers.push_back(site.layer);
    sites.push_back(
        {{"layer", site.layer}, {"cut", number(site.cut)}, {"ordinary_mean", number(site.ordinary_mean)}});
  }
  std::string summary = section.charts[0].sentence + "\n";
  for (const AblationRun& run : result.runs) {
    if (run.perplexity)
      summary += fmt::format("  {:<48} perplexity {:.4g}\n", run.name == "none" ? "untouched" : run.name,
                             *run.perplexity);
    Json norms = Json::array();
    for (const LayerNorms& layer : run.norms)
      norms.push_back({{"layer", layer.layer},
                       {"median", number(layer.median)},
                       {"max", number(layer.max)},
                       {"initial_median", number(layer.initial_median)}});
    runs.push_back({{"ablation", run.name},
                    {"perplexity", number(run.perplexity)},
                    {"mean_loss", number(run.mean_loss)},
                    {"norms", norms},
                    {"texts", run.texts}});
  }
  for (const std::string& note : result.notes) summary += note + "\n";
  return {.name = "ablate",
          .json = analysis_json("ablate", model_facts(scan), {{"seed", scan.seed}, {"window", result.window}},
                                {{"layers", layers},
                                 {"sites", sites},
                                 {"runs", runs},
                                 {"tokens", result.tokens},
                                 {"notes", result.notes}}),
          .summary = summary,
          .sections = {std::move(section)}};
}

}  // namespace defectoscope
