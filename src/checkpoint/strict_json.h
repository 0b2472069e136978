#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace defectoscope {

/// Parses JSON that may come from anywhere. Unlike nlohmann::json::parse it refuses duplicate keys (which
/// would be dropped silently) and nesting deeper than 64, and its Error(kBadInput) names `file` and position.
nlohmann::json parse_strict_json(std::string_view text, const std::string& file);

/// As it is in messages: at most about a hundred bytes, cut at a character's boundary.
std::string shortened(std::string_view text);

}  // namespace defectoscope
