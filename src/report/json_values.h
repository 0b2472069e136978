#pragma once

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "base/version.h"

namespace defectoscope {

using Json = nlohmann::ordered_json;

/// NaN and infinity have no JSON: they, and what does not exist, are null.
inline Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }
inline Json number(const std::optional<double>& value) { return value ? number(*value) : Json(nullptr); }
inline Json numbers(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double value : values) list.push_back(number(value));
  return list;
}
/// What every file we write says of its writer.
inline Json program_json() { return {{"name", "defectoscope"}, {"version", kVersion}}; }
/// Invalid UTF-8 (partial bytes of a vocabulary entry) becomes U+FFFD instead of an exception.
inline std::string dump(const Json& json, int indent = 2) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace defectoscope
