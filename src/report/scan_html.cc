#include <string_view>

#include "report/embedded.h"
#include "report/json_values.h"
#include "report/scan_report.h"

namespace defectoscope {
namespace {

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

}  // namespace

std::string scan_html(const ScanResult& result) {
  const std::string title = html_safe(result.model_name);
  const std::string summary = html_safe(scan_summary(result, ""));
  const std::string data = script_safe(scan_json(result));
  return fill(
      embedded_scan_page(),
      {{"@TITLE@", title}, {"@SUMMARY@", summary}, {"@DATA@", data}, {"@CHARTS@", embedded_chart_library()}});
}

}  // namespace defectoscope
