#include <fmt/format.h>

#include <algorithm>

#include "report/probe_reports.h"
#include "report/scan_sections.h"
#include "report/vocabulary_series.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {
namespace {

using TokenName = std::function<std::string(std::int32_t)>;

std::string census_id(const char* what, Index layer) { return fmt::format("census-{}-{}", what, layer); }

Axis entry_axis() { return {.label = "vocabulary entry", .whole = true}; }

void add_threshold(Chart& chart, const CensusLayer& layer) {
  if (layer.threshold > 0)
    chart.marks.push_back({.at = layer.threshold, .text = "threshold", .horizontal = true});
}

std::string leaders(const CensusLayer& layer) {
  std::string text;
  for (std::size_t i = 0; i < std::min<std::size_t>(5, layer.spikes.size()); ++i)
    text += fmt::format("{}“{}” ({:.4g})", i == 0 ? "" : ", ", layer.spikes[i].token,
                        layer.spikes[i].without_attention);
  return text;
}

Chart without_attention_chart(const CensusLayer& layer, const TokenName& name) {
  Chart chart{.id = census_id("without-attention", layer.layer),
              .title = fmt::format("Without attention, after layer {}", layer.layer),
              .sentence = {},
              .kind = ChartKind::kScatter,
              .x = entry_axis(),
              .y = {.label = "norm", .log = true}};
  chart.series.push_back(vocabulary_series("each entry", layer.without_attention, name));
  Series spikes{.name = "high norm", .x = {}, .y = {}};
  for (const CensusEntry& entry : layer.spikes) {
    spikes.x.push_back(static_cast<double>(entry.id));
    spikes.y.push_back(entry.without_attention);
    spikes.labels.push_back(entry.token);
  }
  if (!spikes.x.empty()) chart.series.push_back(std::move(spikes));
  chart.sentence =
      layer.spikes.empty()
          ? fmt::format(
                "Every vocabulary entry with all attention removed: none stands out after layer {} "
                "(median {:.4g}).",
                layer.layer, layer.median)
          : fmt::format(
                "Every vocabulary entry with all attention removed: {} of {} explode by themselves, "
                "wherever they stand. Largest: {}.",
                layer.high_without_attention, layer.without_attention.size(), leaders(layer));
  add_threshold(chart, layer);
  return chart;
}

Chart first_chart(const CensusLayer& layer, const TokenName& name) {
  Chart chart{.id = census_id("first", layer.layer),
              .title = fmt::format("As first token, after layer {}", layer.layer),
              .sentence = {},
              .kind = ChartKind::kScatter,
              .x = entry_axis(),
              .y = {.label = "norm", .log = true}};
  chart.series.push_back(vocabulary_series("each entry", layer.lone, name));
  Series random{.name = "random embeddings, sorted", .x = {}, .y = {}};
  for (const std::size_t i : visible_entries(layer.random)) {
    random.x.push_back(static_cast<double>(i));
    random.y.push_back(static_cast<double>(layer.random[i]));
  }
  chart.series.push_back(std::move(random));
  const auto total = static_cast<double>(layer.lone.size());
  chart.sentence = fmt::format(
      "Every vocabulary entry alone, with attention: {} of {} ({:.1f} %) have a high norm in first place; of "
      "as many random embeddings, which the model never learned, {} ({:.1f} %).",
      layer.high_lone, layer.lone.size(), 100 * static_cast<double>(layer.high_lone) / total,
      layer.high_random, 100 * static_cast<double>(layer.high_random) / total);
  add_threshold(chart, layer);
  return chart;
}

Table spike_table(const CensusLayer& layer) {
  Table table{.id = census_id("spikes", layer.layer),
              .title = fmt::format("Entries that explode without attention, layer {}", layer.layer),
              .columns = {{"rank"},
                          {"token"},
                          {"id"},
                          {"norm without attention"},
                          {"norm as first token"},
                          {"high as first token"}},
              .rows = {}};
  for (const CensusEntry& entry : layer.spikes)
    table.rows.push_back({static_cast<Index>(table.rows.size() + 1), entry.token, Index{entry.id},
                          cell(entry.without_attention), cell(entry.lone), entry.initial});
  return table;
}

Json layer_json(const CensusLayer& layer) {
  Json spikes = Json::array();
  for (const CensusEntry& entry : layer.spikes)
    spikes.push_back({{"id", entry.id},
                      {"token", entry.token},
                      {"without_attention", number(entry.without_attention)},
                      {"first", number(entry.lone)},
                      {"high_as_first", entry.initial}});
  return {{"layer", layer.layer},
          {"threshold", layer.threshold > 0 ? number(layer.threshold) : Json(nullptr)},
          {"threshold_from_this_layer", layer.threshold_found},
          {"median_without_attention", number(layer.median)},
          {"high",
           {{"without_attention", layer.high_without_attention},
            {"first", layer.high_lone},
            {"random", layer.high_random}}},
          {"spikes", spikes},
          {"norms",
           {{"without_attention", numbers(six_digits(layer.without_attention))},
            {"first", numbers(six_digits(layer.lone))},
            {"random_sorted", numbers(six_digits(layer.random))}}}};
}

}  // namespace

AnalysisOutput census_output(const ScanResult& scan, const Census& census, const Tokenizer& tokenizer) {
  const TokenName name = [&](std::int32_t id) { return readable_token(tokenizer, id); };
  Section section = probe_section("census");
  section.sentences = census.notes;
  Json layers = Json::array();
  std::string summary;
  for (const CensusLayer& layer : census.layers) {
    section.charts.push_back(without_attention_chart(layer, name));
    summary += fmt::format("Layer {}. {}\n", layer.layer, section.charts.back().sentence);
    section.charts.push_back(first_chart(layer, name));
    summary += section.charts.back().sentence + "\n";
    if (!layer.spikes.empty()) section.tables.push_back(spike_table(layer));
    layers.push_back(layer_json(layer));
  }
  return {.name = "census",
          .json = analysis_json("census", model_facts(scan), {{"seed", scan.seed}},
                                {{"layers", layers}, {"notes", census.notes}}),
          .summary = summary,
          .sections = {std::move(section)}};
}

}  // namespace defectoscope
