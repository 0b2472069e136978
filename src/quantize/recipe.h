#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quantize/recipe_modules.h"

namespace defectoscope {

/// One reading of a written recipe by a program that uses it.
struct RecipeReading {
  std::string by;                                         ///< who reads it so: "vLLM"
  std::function<bool(const ListedModule&)> leaves_alone;  ///< whether the recipe keeps this module in 16 bits
};

/// A tool that quantizes, and how it is told what to leave alone. docs/recipes.md says the same to users.
struct RecipeTool {
  std::string_view name;  ///< for --for
  std::string_view file;  ///< what its file is usually called
  /// Whether the recipe names the LM head too: setting the list would lose the tool's own skipping of it.
  bool names_head;
  /// Whether it only ever quantizes nn.Linear, so none of the Conv1D matrices of GPT-2.
  bool linear_only;
  std::string (*write)(const RecipeTarget&);
  /// From the written text alone. Throws Error(kBadInput) where the tool could not read it.
  std::vector<RecipeReading> (*read)(const std::string& text);
};

/// All of them, in the order they are listed to users.
std::span<const RecipeTool> recipe_tools();
/// Throws Error(kUsage), listing the known, where there is none of that name.
const RecipeTool& recipe_tool(std::string_view name);

/// Where a recipe and what it is for differ, by one reading.
struct RecipeMismatch {
  std::string by;
  std::vector<std::string> missed;      ///< modules it should leave alone and does not
  std::vector<std::string> unintended;  ///< modules it leaves alone and should not
};

/// Reads `text` as the tool does, and holds each reading against the target over all of the model's modules:
/// the skipped matrices, and the LM head where the tool's recipes name it, exactly. Empty where all agree.
/// O(modules x patterns). Throws Error(kBadInput) where the text cannot be read.
std::vector<RecipeMismatch> check_recipe(const RecipeTool& tool, const std::string& text,
                                         const RecipeTarget& target);

/// Writes the recipe and checks what was written. Throws Error(kBadInput), naming the modules, where the
/// check fails.
std::string make_recipe(const RecipeTool& tool, const RecipeTarget& target);

}  // namespace defectoscope
