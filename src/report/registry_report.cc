#include "report/registry_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "report/csv.h"
#include "report/lineage_json.h"
#include "report/lineage_text.h"

namespace defectoscope {
namespace {

/// Wide enough for all names, within reason.
std::size_t name_width(std::size_t longest) { return std::clamp<std::size_t>(longest, 8, 48); }

std::string counted(Index count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

Json registry_head(const char* schema, const std::string& place) {
  return {{"schema", schema}, {"program", program_json()}, {"registry", place}};
}

std::string distance_text(const Found& found) {
  return found.distance_degrees ? fmt::format("{:.1f}°", *found.distance_degrees) : "–";
}

std::string carried_text(const Found& found) {
  return found.comparison.carried_by ? evidence_name(*found.comparison.carried_by) : "–";
}

}  // namespace

std::string registry_list_text(const std::vector<RegisteredModel>& models, const std::string& place) {
  std::string text = fmt::format("{}: {}\n", place, counted(std::ssize(models), "model"));
  if (models.empty()) return text;
  std::size_t longest = 0;
  for (const RegisteredModel& model : models) longest = std::max(longest, model.name.size());
  const std::size_t width = name_width(longest);
  text += fmt::format("\n{:<{}}  {:<18}{:>7}{:>8}{:>8}  {:<10}{:<22}{}\n", "name", width, "family", "width",
                      "layers", "tokens", "form", "added", "weights");
  for (const RegisteredModel& m : models)
    text +=
        fmt::format("{:<{}}  {:<18}{:>7}{:>8}{:>8}  {:<10}{:<22}{:.12}\n", m.name, width, m.family,
                    m.hidden_size, m.layers, m.tokens, signature_form_name(m.form), m.added, m.fingerprint);
  return text;
}

std::string registry_list_json(const std::vector<RegisteredModel>& models, const std::string& place) {
  Json list = Json::array();
  for (const RegisteredModel& m : models)
    list.push_back({{"name", m.name},
                    {"model", m.model},
                    {"family", m.family},
                    {"form", signature_form_name(m.form)},
                    {"fingerprint", m.fingerprint},
                    {"hidden_size", m.hidden_size},
                    {"layers", m.layers},
                    {"sampled_tokens", m.tokens},
                    {"added", m.added}});
  Json json = registry_head("defectoscope.registry-list/1", place);
  json["models"] = std::move(list);
  return dump(json) + "\n";
}

std::string registry_list_csv(const std::vector<RegisteredModel>& models) {
  Table table{.id = "registry-models",
              .title = "Models",
              .columns = {{.name = "name"},
                          {.name = "model"},
                          {.name = "family"},
                          {.name = "form"},
                          {.name = "fingerprint"},
                          {.name = "hidden size"},
                          {.name = "layers"},
                          {.name = "sampled tokens"},
                          {.name = "added"}},
              .rows = {}};
  for (const RegisteredModel& m : models)
    table.rows.push_back({m.name, m.model, m.family, signature_form_name(m.form), m.fingerprint,
                          m.hidden_size, m.layers, m.tokens, m.added});
  return table_csv(table);
}

std::string registry_search_text(const SearchResult& result, const std::string& place) {
  std::string text =
      fmt::format("{} ({}, {} layers of width {}) in {}\n{} searched, {} compared by signature",
                  result.query.model, result.query.family, result.query.layers, result.query.hidden_size,
                  place, counted(result.searched, "model"), result.compared);
  if (result.of_other_form > 0)
    text += fmt::format("; {} of the other form than {} left out", result.of_other_form,
                        signature_form_name(result.form));
  text += "\n";
  if (result.found.empty())
    return text + "\nnothing in it can be compared with this model, or comes near it\n";
  std::size_t longest = 0;
  double below = 0;  // the largest limit that one of them is under
  for (const Found& found : result.found) {
    longest = std::max(longest, found.name.size());
    if (is_extrapolated(found.comparison)) below = std::max(below, extrapolated_below(found.comparison));
  }
  const std::size_t width = name_width(longest);
  text += fmt::format("\n{:<{}}  {:>8}  {:<17}{}\n", "name", width, "distance", "carried by", "verdict");
  for (const Found& found : result.found)
    text += fmt::format("{:<{}}  {:>8}  {:<17}{}\n", found.name, width, distance_text(found),
                        carried_text(found), verdict_sentence(found.comparison));
  text += fmt::format("\nEach p is corrected for {} searched.\n", counted(result.searched, "model"));
  if (below > 0) text += extrapolation_note(below);
  return text;
}

std::string registry_search_json(const SearchResult& result, const std::string& place) {
  Json list = Json::array();
  for (const Found& found : result.found) {
    const Comparison& c = found.comparison;
    Json json{{"name", found.name}};
    json.update(compared_model_json(c.b));
    json["verdict"] = verdict_name(c.verdict);
    json["verdict_in_words"] = verdict_sentence(c);
    json["distance_degrees"] = number(found.distance_degrees);
    json["paper_distance_degrees"] = number(c.distance_degrees);
    json["p_value"] = probability_json(c.log_p);
    json["log10_p_value"] = log10_json(c.log_p);
    json["extrapolated_below"] = extrapolated_below(c);
    json["carried_by"] = carried_by_json(c);
    json["shared_tokens"] = c.shared_tokens;
    list.push_back(std::move(json));
  }
  Json json = registry_head("defectoscope.registry-search/1", place);
  json["query"] = compared_model_json(result.query);
  json["form"] = signature_form_name(result.form);
  json["searched"] = result.searched;
  json["of_other_form"] = result.of_other_form;
  json["compared"] = result.compared;
  json["found"] = std::move(list);
  return dump(json) + "\n";
}

std::string registry_search_csv(const SearchResult& result) {
  Table table{.id = "registry-found",
              .title = "Nearest models",
              .columns = {{.name = "name"},
                          {.name = "verdict"},
                          {.name = "distance", .unit = "°"},
                          {.name = "log10 p"},
                          {.name = "carried by"},
                          {.name = "family"},
                          {.name = "hidden size"},
                          {.name = "layers"},
                          {.name = "fingerprint"}},
              .rows = {}};
  for (const Found& found : result.found) {
    const Comparison& c = found.comparison;
    std::optional<double> log10_p;
    if (c.log_p) log10_p = *c.log_p / std::numbers::ln10;
    table.rows.push_back({found.name, verdict_name(c.verdict), cell(found.distance_degrees), cell(log10_p),
                          c.carried_by ? Cell(evidence_name(*c.carried_by)) : Cell(), c.b.family,
                          c.b.hidden_size, c.b.layers, c.b.fingerprint});
  }
  return table_csv(table);
}

std::string added_text(const Added& added) {
  switch (added.outcome) {
    case AddOutcome::kAdded:
      return added.name + ": added\n";
    case AddOutcome::kReplaced:
      return added.name + ": replaced\n";
    case AddOutcome::kUnchanged:
      return added.name + ": there already, the same weights\n";
    case AddOutcome::kKnown:
      break;
  }
  return fmt::format("{}: not added, its weights are there as {}\n", added.name, added.known_as);
}

}  // namespace defectoscope
