#include "quantize/recipe_json.h"

#include "quantize/recipe_forms.h"

namespace defectoscope {

RecipeJson recipe_json(std::string_view tool, const std::string& text, const std::string& pointer) {
  try {
    return RecipeJson::parse(text).at(RecipeJson::json_pointer(pointer));
  } catch (const RecipeJson::exception& error) {
    throw_unreadable(tool, error.what());
  }
}

Patterns recipe_list(std::string_view tool, const std::string& text, const std::string& pointer) {
  try {
    return recipe_json(tool, text, pointer).get<Patterns>();
  } catch (const RecipeJson::exception& error) {
    throw_unreadable(tool, error.what());
  }
}

std::string recipe_text(const RecipeJson& json) { return json.dump(2) + "\n"; }

}  // namespace defectoscope
