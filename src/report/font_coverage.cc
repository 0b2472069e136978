#include "report/font_coverage.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <memory>

namespace defectoscope {
namespace {

const FontCoverage kUsual = {{0x20, 0x52F}, {0x2010, 0x22FF}, {0x2500, 0x25FF}};

std::string fontconfig_lists() {
  std::string lists;
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(
      popen("fc-list --format '%{charset}\\n' 2>/dev/null", "r"), pclose);
  char buffer[1 << 14];
  while (pipe) {
    const std::size_t read = std::fread(buffer, 1, sizeof buffer, pipe.get());
    if (read == 0) break;
    lists.append(buffer, read);
  }
  return lists;
}

/// The code point at `text[at]`, which moves on behind it. Tokens are escaped before, but a model's name may
/// be any bytes: unlike next_code_point this one stays inside a sequence that is cut short.
std::uint32_t code_point_at(std::string_view text, std::size_t& at) {
  const auto lead = static_cast<unsigned char>(text[at++]);
  std::uint32_t code = lead < 0x80   ? lead
                       : lead < 0xE0 ? lead & 0x1Fu
                       : lead < 0xF0 ? lead & 0x0Fu
                                     : lead & 0x07u;
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80)
    code = code << 6 | (static_cast<unsigned char>(text[at++]) & 0x3Fu);
  return code;
}

bool covers(const FontCoverage& coverage, std::uint32_t code) {
  return code < 0x80 ||
         std::ranges::any_of(
             coverage, [code](const auto& range) { return range.first <= code && code <= range.second; });
}

}  // namespace

FontCoverage parse_font_coverage(std::string_view lists) {
  FontCoverage coverage;
  const char *at = lists.data(), *end = at + lists.size();
  while (at < end) {
    std::uint32_t first = 0;
    const auto number = std::from_chars(at, end, first, 16);
    if (number.ec != std::errc()) {
      ++at;
      continue;
    }
    std::uint32_t last = first;
    at = number.ptr;
    if (at < end && *at == '-') at = std::from_chars(at + 1, end, last, 16).ptr;
    coverage.emplace_back(first, last);
  }
  std::ranges::sort(coverage);
  const auto repeated = std::ranges::unique(coverage);
  coverage.erase(repeated.begin(), repeated.end());
  return coverage;
}

const FontCoverage& system_font_coverage() {
  static const FontCoverage coverage = [] {
    FontCoverage found = parse_font_coverage(fontconfig_lists());
    return found.empty() ? kUsual : found;
  }();
  return coverage;
}

std::string drawable(std::string_view text, const FontCoverage& coverage) {
  std::string drawn;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const std::uint32_t code = code_point_at(text, at);
    if (covers(coverage, code))
      drawn += text.substr(begin, at - begin);
    else
      drawn += fmt::format("\\u{{{:x}}}", code);
  }
  return drawn;
}

}  // namespace defectoscope
