#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "quantize/recipe_matching.h"

namespace defectoscope {

/// Keys keep their order: some tools try them one after the other.
using RecipeJson = nlohmann::ordered_json;

/// What lies at `pointer` ("/local") of the text. Throws Error(kBadInput) where the text is not JSON or has
/// no such place.
RecipeJson recipe_json(std::string_view tool, const std::string& text, const std::string& pointer = "");
/// A list of strings there.
Patterns recipe_list(std::string_view tool, const std::string& text, const std::string& pointer);
/// As files hold it: indented, with a last newline.
std::string recipe_text(const RecipeJson& json);

}  // namespace defectoscope
