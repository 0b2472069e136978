#include "report/vocabulary_series.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace defectoscope {

std::vector<std::size_t> visible_entries(std::span<const float> values) {
  constexpr std::size_t kAll = 2048, kStretches = 1024;
  std::vector<std::size_t> entries;
  if (values.size() <= kAll) {
    for (std::size_t i = 0; i < values.size(); ++i) entries.push_back(i);
    return entries;
  }
  for (std::size_t s = 0; s < kStretches; ++s) {
    const auto begin = values.begin() + static_cast<std::ptrdiff_t>(s * values.size() / kStretches);
    const auto end = values.begin() + static_cast<std::ptrdiff_t>((s + 1) * values.size() / kStretches);
    const auto [low, high] = std::minmax_element(begin, end);
    const auto a = static_cast<std::size_t>(low - values.begin()),
               b = static_cast<std::size_t>(high - values.begin());
    entries.push_back(std::min(a, b));
    if (a != b) entries.push_back(std::max(a, b));
  }
  return entries;
}

Series vocabulary_series(const std::string& name, std::span<const float> values,
                         const std::function<std::string(std::int32_t)>& token_name) {
  Series series{.name = name, .x = {}, .y = {}};
  for (const std::size_t i : visible_entries(values)) {
    series.x.push_back(static_cast<double>(i));
    series.y.push_back(static_cast<double>(values[i]));
    series.labels.push_back(token_name(static_cast<std::int32_t>(i)));
  }
  return series;
}

std::vector<double> six_digits(std::span<const float> values) {
  std::vector<double> rounded;
  rounded.reserve(values.size());
  for (const float value : values)
    rounded.push_back(std::strtod(fmt::format("{:.6g}", value).c_str(), nullptr));
  return rounded;
}

}  // namespace defectoscope
