#include "report/relations_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string_view>

#include "report/lineage_json.h"
#include "report/lineage_text.h"

namespace defectoscope {
namespace {

std::string clusters_text(const Relations& r) {
  std::string text;
  const Index clusters = r.cluster.empty() ? 0 : 1 + *std::ranges::max_element(r.cluster);
  for (Index c = 0; c < clusters; ++c) {
    text += fmt::format("cluster {}\n", c + 1);
    for (std::size_t i = 0; i < r.models.size(); ++i) {
      if (r.cluster[i] != c) continue;
      text += "  " + r.models[i].model;
      if (const auto& parent = r.parents[i])
        text += fmt::format("  (likely parent: {}, {:.1f}°)", name_of(r, parent->model),
                            parent->distance_degrees);
      if (const auto& blend = r.blends[i])
        text += fmt::format("  (like a merge: {:.0f} % {}, {:.0f} % {})", 100 * (1 - blend->fit.weight),
                            name_of(r, blend->a), 100 * blend->fit.weight, name_of(r, blend->b));
      text += "\n";
    }
  }
  return text;
}

std::string matrix_text(const Relations& r) {
  std::string text = fmt::format("{:<32}", "smallest angle, degrees");
  for (std::size_t i = 0; i < r.leaf_order.size(); ++i) text += fmt::format("{:>7}", i + 1);
  text += "\n";
  for (std::size_t row = 0; row < r.leaf_order.size(); ++row) {
    const Index i = r.leaf_order[row];
    text += fmt::format("{:>3} {:<28}", row + 1, name_of(r, i));
    for (const Index k : r.leaf_order) {
      if (i == k) {
        text += fmt::format("{:>7}", "·");
      } else if (const Pair& pair = r.pair(i, k); pair.distance_degrees) {
        text += fmt::format("{:>6.1f}{}", *pair.distance_degrees, pair.related ? "*" : " ");
      } else {
        text += fmt::format("{:>7}", "–");
      }
    }
    text += "\n";
  }
  return text +
         fmt::format("* related: p under 1e-4 after times {}, the number of pairs; – nothing to compare\n",
                     r.pairs.size());
}

/// A node's models below its height: `corner` where it hangs on the node above, `indent` the lines that pass
/// by it on the left.
void draw(const Relations& r, Index node, const std::string& indent, const char* corner, std::string& text) {
  const Index n = std::ssize(r.models);
  if (node < n) {
    text += fmt::format("{}{}── {}\n", indent, corner, name_of(r, node));
    return;
  }
  const Merge& merge = r.dendrogram[static_cast<std::size_t>(node - n)];
  text += fmt::format("{}{}┐ {:.1f}°\n", indent, corner, merge.height_degrees);
  const std::string_view above = corner;
  const std::string deeper = indent + (above == "├" ? "│" : above == "└" ? " " : "");
  draw(r, merge.left, deeper, "├", text);
  draw(r, merge.right, deeper, "└", text);
}

}  // namespace

std::string relations_text(const Relations& r) {
  std::string text = clusters_text(r);
  if (r.models.size() < 2) return text;
  text +=
      "\n" + matrix_text(r) + "\nThe nearest joined first; at each joint the mean angle between its sides.\n";
  draw(r, std::ssize(r.models) + std::ssize(r.dendrogram) - 1, "", "", text);
  return text;
}

std::string relations_json(const Relations& r) {
  Json models = Json::array();
  for (std::size_t i = 0; i < r.models.size(); ++i) {
    Json model = compared_model_json(r.models[i]);
    model["cluster"] = r.cluster[i] + 1;
    model["likely_parent"] = r.parents[i] ? Json(r.parents[i]->model) : Json(nullptr);
    model["likely_merge"] = nullptr;
    if (const auto& blend = r.blends[i])
      model["likely_merge"] = {{"a", blend->a},
                               {"b", blend->b},
                               {"weight_b", number(blend->fit.weight)},
                               {"off_the_line", number(blend->fit.off_the_line)}};
    models.push_back(std::move(model));
  }
  Json pairs = Json::array();
  for (const Pair& pair : r.pairs)
    pairs.push_back({{"a", pair.a},
                     {"b", pair.b},
                     {"verdict", verdict_name(pair.comparison.verdict)},
                     {"related", pair.related},
                     {"distance_degrees", number(pair.distance_degrees)},
                     {"paper_distance_degrees", number(pair.comparison.distance_degrees)},
                     {"log10_p_value", log10_json(pair.log_p)},
                     {"carried_by", carried_by_json(pair.comparison)}});
  Json dendrogram = Json::array();
  for (const Merge& merge : r.dendrogram)
    dendrogram.push_back({{"left", merge.left},
                          {"right", merge.right},
                          {"height_degrees", number(merge.height_degrees)},
                          {"size", merge.size}});
  const Json json{{"schema", "defectoscope.lineage/1"},  {"program", program_json()},
                  {"models", std::move(models)},         {"pairs", std::move(pairs)},
                  {"dendrogram", std::move(dendrogram)}, {"leaf_order", r.leaf_order}};
  return dump(json) + "\n";
}

}  // namespace defectoscope
