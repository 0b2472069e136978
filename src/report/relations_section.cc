#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "report/relations_text.h"

namespace defectoscope {
namespace {

constexpr double kNoDistance = std::numeric_limits<double>::quiet_NaN();

std::vector<std::string> names_in_leaf_order(const Relations& r) {
  std::vector<std::string> names;
  for (const Index i : r.leaf_order) names.push_back(name_of(r, i));
  return names;
}

Chart distance_chart(const Relations& r) {
  Chart chart{.id = "lineage-distances",
              .title = "Distances",
              .sentence = "",
              .kind = ChartKind::kHeatmap,
              .x = {.label = "Model", .categories = names_in_leaf_order(r)},
              .y = {.label = "Model", .categories = names_in_leaf_order(r)}};
  chart.value = {.label = "Distance", .unit = "°", .min = 0, .max = 90};
  for (const Index i : r.leaf_order) {
    chart.grid.emplace_back();
    for (const Index k : r.leaf_order)
      chart.grid.back().push_back(i == k ? 0 : r.pair(i, k).distance_degrees.value_or(kNoDistance));
  }
  const auto related = std::ranges::count_if(r.pairs, &Pair::related);
  chart.sentence = fmt::format(
      "The smallest angle of what could be compared; {} of {} pairs are related (p under 1e-4 after "
      "correction for "
      "the number of pairs).",
      related, r.pairs.size());
  return chart;
}

/// Every step is a bridge from the tops of its two branches to its own height.
Chart dendrogram_chart(const Relations& r) {
  const Index n = std::ssize(r.models);
  std::vector<double> at(static_cast<std::size_t>(n)), height(static_cast<std::size_t>(n), 0.0);
  for (std::size_t i = 0; i < r.leaf_order.size(); ++i)
    at[static_cast<std::size_t>(r.leaf_order[i])] = static_cast<double>(i);
  Series bridges{.name = "joined at", .x = {}, .y = {}};
  for (const Merge& merge : r.dendrogram) {
    const auto left = static_cast<std::size_t>(merge.left), right = static_cast<std::size_t>(merge.right);
    for (const auto& [x, y] : {std::pair(at[left], height[left]), std::pair(at[left], merge.height_degrees),
                               std::pair(at[right], merge.height_degrees),
                               std::pair(at[right], height[right]), std::pair(at[right], kNoDistance)}) {
      bridges.x.push_back(x);
      bridges.y.push_back(y);
    }
    at.push_back((at[left] + at[right]) / 2);
    height.push_back(merge.height_degrees);
  }
  Chart chart{.id = "lineage-dendrogram",
              .title = "Dendrogram",
              .sentence = "",
              .kind = ChartKind::kLines,
              .x = {.label = "Model", .categories = names_in_leaf_order(r)},
              .y = {.label = "Mean distance where joined", .unit = "°", .min = 0, .max = 90}};
  chart.sentence =
      fmt::format("Average linkage: the nearest two, {} and {}, join at {:.1f}°; all are joined at {:.1f}°.",
                  name_of(r, r.dendrogram.front().left), name_of(r, r.dendrogram.front().right),
                  r.dendrogram.front().height_degrees, r.dendrogram.back().height_degrees);
  chart.series.push_back(std::move(bridges));
  return chart;
}

/// The paper's per-layer angles; none where no model has the first one's width.
std::optional<Chart> layer_chart(const Relations& r) {
  Chart chart{.id = "lineage-layers",
              .title = "Layer by layer",
              .sentence = "",
              .kind = ChartKind::kLines,
              .x = {.label = "Layer", .whole = true},
              .y = {.label = fmt::format("Angle to {}", name_of(r, 0)), .unit = "°", .min = 0, .max = 90}};
  for (Index i = 1; i < std::ssize(r.models); ++i) {
    const Evidence& layers = r.pair(0, i).comparison.evidence.front();
    if (!layers.compared()) continue;
    Series series{.name = name_of(r, i), .x = {}, .y = layers.angles_degrees};
    for (std::size_t layer = 1; layer <= series.y.size(); ++layer)
      series.x.push_back(static_cast<double>(layer));
    chart.series.push_back(std::move(series));
  }
  if (chart.series.empty()) return std::nullopt;
  chart.sentence = fmt::format(
      "Acute angles between left singular directions of same-numbered layers and those of {}, the first "
      "named; the "
      "paper's distance is each curve's lowest point.",
      name_of(r, 0));
  return chart;
}

Table model_table(const Relations& r) {
  Table table{.id = "lineage-models",
              .title = "Models",
              .columns = {{.name = "model"},
                          {.name = "family"},
                          {.name = "width"},
                          {.name = "layers"},
                          {.name = "cluster", .unit = {}, .help = "connected by related pairs"},
                          {.name = "likely parent",
                           .unit = {},
                           .help = "neighbour towards the cluster's centre: a guess"},
                          {.name = "distance to it", .unit = "°"}},
              .rows = {}};
  for (std::size_t i = 0; i < r.models.size(); ++i) {
    const ComparedModel& m = r.models[i];
    const auto& parent = r.parents[i];
    table.rows.push_back({m.model, m.family, m.hidden_size, m.layers, r.cluster[i] + 1,
                          parent ? Cell(name_of(r, parent->model)) : Cell(),
                          parent ? Cell(parent->distance_degrees) : Cell()});
  }
  return table;
}

Table pair_table(const Relations& r) {
  Table table{
      .id = "lineage-pairs",
      .title = "Pairs",
      .columns = {{.name = "a"},
                  {.name = "b"},
                  {.name = "distance", .unit = "°", .help = "smallest angle of what could be compared"},
                  {.name = "paper distance", .unit = "°", .help = "minimum over same-numbered layers"},
                  {.name = "log10 p", .unit = {}, .help = "corrected for the number of pairs"},
                  {.name = "related"},
                  {.name = "carried by"}},
      .rows = {}};
  for (const Pair& pair : r.pairs) {
    const auto& carried = pair.comparison.carried_by;
    table.rows.push_back({name_of(r, pair.a), name_of(r, pair.b), cell(pair.distance_degrees),
                          cell(pair.comparison.distance_degrees),
                          pair.log_p ? cell(*pair.log_p / std::numbers::ln10) : Cell(), pair.related,
                          carried ? Cell(evidence_name(*carried)) : Cell()});
  }
  return table;
}

}  // namespace

Section relations_section(const Relations& r) {
  Section section{.id = "lineage", .heading = "Lineage: which model was made from which"};
  const Index clusters = r.cluster.empty() ? 0 : 1 + *std::ranges::max_element(r.cluster);
  section.sentences.push_back(
      fmt::format("{} models in {} clusters of common origin. Signatures do not say which of two "
                  "came first: likely parents are a guess.",
                  r.models.size(), clusters));
  if (!r.dendrogram.empty()) {
    section.charts.push_back(distance_chart(r));
    section.charts.push_back(dendrogram_chart(r));
    if (auto layers = layer_chart(r)) section.charts.push_back(std::move(*layers));
  }
  section.tables = {model_table(r), pair_table(r)};
  return section;
}

}  // namespace defectoscope
