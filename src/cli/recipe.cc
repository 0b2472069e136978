#include "quantize/recipe.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <optional>

#include "base/files.h"
#include "cli/app.h"
#include "cli/scan_session.h"
#include "quantize/quantized_model.h"
#include "quantize/recipe_forms.h"
#include "quantize/skip_layers.h"

namespace defectoscope {
namespace {

struct RecipeCommand {
  CommonOptions common;
  std::string tool, text, out;
  std::vector<Index> skip;
  Index rows = 1000;
  std::uint64_t seed = 0;
};

/// The explosion and decay layers, by the states alone; an interrupted scan goes on where it stopped.
std::vector<Index> scanned_layers(const RecipeCommand& command) {
  const std::string name = "recipe";
  ScanCommand scan;
  scan.common = command.common;
  scan.text = command.text;
  scan.rows = command.rows;
  scan.seed = command.seed;
  ScanSession session(scan, name);
  const std::vector<Index> layers =
      found_layers(scan_states(session.model, *session.tokenizer, session.options, session.journal));
  session.journal.clear();
  std::error_code not_empty;  // where it is, it was not the journal's alone
  std::filesystem::remove(session.out, not_empty);
  std::filesystem::remove(session.out.parent_path(), not_empty);
  return layers;
}

std::string what_it_does(const RecipeTool& tool, const RecipeTarget& target, bool from_scan) {
  std::string text;
  if (target.skipped.empty()) {
    text = fmt::format(
        "scan finds no high-norm tokens in {}: no layer is worth skipping. With this recipe {} "
        "quantizes every matrix{}",
        target.model, tool.name, tool.names_head ? " but the LM head" : " it would without it");
  } else {
    std::vector<std::string> names;
    for (const ListedModule& module : target.skipped) {
      std::string name = tool.name == "llama.cpp" ? module.gguf
                         : module.open.empty()    ? module.name
                                                  : with_number(module.open, "*");
      if (std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
    }
    text = fmt::format("with this recipe {} leaves {} in 16 bits ({} {}{})", tool.name,
                       fmt::join(names, ", "), target.skip_layers.size() == 1 ? "layer" : "layers",
                       fmt::join(target.skip_layers, ", "), from_scan ? ", found by scan" : "");
  }
  if (target.transposed && tool.linear_only)
    text += fmt::format(
        ". {} quantizes nn.Linear only: the matrices of {} are Conv1D modules, which it leaves "
        "alone with any recipe",
        tool.name, target.model);
  return text;
}

void run(const RecipeCommand& command) {
  apply(command.common);
  const RecipeTool& tool = recipe_tool(command.tool);
  const Model model = Model::open(model_folder(command.common.model));
  check_unquantized(model);
  const auto target_for = [&](const std::vector<Index>& layers) {
    return recipe_target(model.name(), module_shape(model), layers);
  };
  target_for(
      command.skip);  // refuses layers that are not there before the work, as the file what cannot be written
  std::optional<AtomicFile> file;
  if (!command.out.empty()) file.emplace(command.out);
  const bool from_scan = command.skip.empty();
  const RecipeTarget target = target_for(from_scan ? scanned_layers(command) : command.skip);
  const std::string recipe = make_recipe(tool, target);
  if (file) {
    file->write(recipe);
    file->commit();
  } else {
    std::fputs(recipe.c_str(), stdout);
  }
  std::fprintf(stderr, "defectoscope: %s.\n", what_it_does(tool, target, from_scan).c_str());
}

}  // namespace

void add_recipe(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "recipe",
      "Write the setting by which a quantization tool leaves alone the few matrices that need 16 bits");
  auto options = std::make_shared<RecipeCommand>();
  add_model(*command, options->common, true);
  std::vector<std::string> tools;
  for (const RecipeTool& tool : recipe_tools()) tools.emplace_back(tool.name);
  command->add_option("--for", options->tool, "The tool to write for")
      ->required()
      ->check(CLI::IsMember(tools));
  command
      ->add_option(
          "--skip", options->skip,
          "Layers whose second FFN matrix (F2) stays unquantized, 1-based: 2,31 (default: the explosion "
          "and decay layers that a scan finds)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("LAYERS");
  command->add_option("--out", options->out, "The file to write (default: standard output)")
      ->type_name("FILE");
  command
      ->add_option("--text", options->text,
                   "Calibration text of the scan, as of 'scan' (default: sampled from the model)")
      ->type_name("FILE");
  add_rows(*command, options->rows, "Calibration rows of the scan at most");
  command->add_option("--seed", options->seed, "Chooses the scan's rows")
      ->capture_default_str()
      ->type_name("S");
  add_threads(*command, options->common);
  command->footer(
      "What is written is read back by the tool's own matching rule over all of the model's modules, and not "
      "written where it would hit any others. docs/recipes.md says for each tool what the file is and how it "
      "is "
      "used.");
  command->callback([options] { run(*options); });
}

}  // namespace defectoscope
