#include "report/page.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "base/version.h"
#include "report/embedded.h"
#include "report/section_json.h"

namespace defectoscope {
namespace {

constexpr std::size_t kMostPoints = 4000;  // of a series; a screen is narrower
constexpr std::size_t kMostRows = 1000;    // of a table in the page

/// JSON inside a <script> element: "</" would end it, "<!--" would change how it is read.
std::string script_safe(std::string_view json) {
  std::string safe;
  safe.reserve(json.size());
  for (const char c : json) {
    if (c == '<')
      safe += "\\u003c";
    else
      safe += c;
  }
  return safe;
}

std::string html_safe(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    if (c == '&')
      safe += "&amp;";
    else if (c == '<')
      safe += "&lt;";
    else if (c == '>')
      safe += "&gt;";
    else
      safe += c;
  }
  return safe;
}

/// The template with each "@MARK@" exchanged for its text; one pass, so that a text may hold a mark.
std::string fill(std::string_view page,
                 const std::vector<std::pair<std::string_view, std::string_view>>& texts) {
  std::string filled;
  for (const auto& [mark, text] : texts) {
    const auto at = page.find(mark);
    filled += page.substr(0, at);
    filled += text;
    page.remove_prefix(at + mark.size());
  }
  return filled.append(page);
}

/// Points that an eye would miss none of: of every stretch the first, the smallest and the largest, in order.
void thin(Series& series) {
  const std::size_t count = series.y.size();
  if (count <= kMostPoints) return;
  const std::size_t stretches = kMostPoints / 3;
  std::vector<std::size_t> kept;
  for (std::size_t s = 0; s < stretches; ++s) {
    const auto begin = static_cast<std::ptrdiff_t>(s * count / stretches);
    const auto end = static_cast<std::ptrdiff_t>((s + 1) * count / stretches);
    const auto [low, high] = std::minmax_element(series.y.begin() + begin, series.y.begin() + end);
    for (const auto at : {begin, low - series.y.begin(), high - series.y.begin()})
      kept.push_back(static_cast<std::size_t>(at));
  }
  kept.push_back(count - 1);
  std::sort(kept.begin(), kept.end());
  kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
  const auto keep = [&](auto& list) {
    if (list.empty()) return;
    std::decay_t<decltype(list)> fewer;
    for (const std::size_t i : kept) fewer.push_back(list[i]);
    list = std::move(fewer);
  };
  if (series.x.empty())
    for (std::size_t i = 0; i < count; ++i) series.x.push_back(static_cast<double>(i));
  keep(series.x);
  keep(series.y);
  keep(series.labels);
  keep(series.low);
  keep(series.high);
}

/// Doubles with what a screen can show, so that a page stays small.
void shorten(Json& json) {
  if (json.is_number_float())
    json = std::stod(fmt::format("{:.6g}", json.get<double>()));
  else if (json.is_structured())
    for (Json& inner : json) shorten(inner);
}

Json model_json(ModelPage model) {
  std::stable_sort(model.sections.begin(), model.sections.end(),
                   [](const Section& a, const Section& b) { return a.stage < b.stage; });
  for (Section& section : model.sections) {
    for (Chart& chart : section.charts)
      for (Series& series : chart.series) thin(series);
    for (Table& table : section.tables)
      if (table.rows.size() > kMostRows) {
        table.sentence +=
            fmt::format("{}The first {} of {} rows; tables/{}.csv has all.",
                        table.sentence.empty() ? "" : " ", kMostRows, table.rows.size(), table.id);
        table.rows.resize(kMostRows);
      }
  }
  Json json = page_json(model);
  shorten(json["sections"]);
  return json;
}

}  // namespace

std::string page_html(const std::vector<ModelPage>& models) {
  std::string title;
  Json list = Json::array();
  for (const ModelPage& model : models) {
    check_sections(model.sections);
    title += (title.empty() ? "" : " · ") + model.name;
    list.push_back(model_json(model));
  }
  const Json data = {{"version", kVersion}, {"models", std::move(list)}};
  const std::string safe_title = html_safe(title), safe_data = script_safe(dump(data, -1));
  return fill(embedded_page(),
              {{"@TITLE@", safe_title}, {"@DATA@", safe_data}, {"@CHARTS@", embedded_chart_library()}});
}

}  // namespace defectoscope
