#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/error.h"
#include "cli/app.h"
#include "cli/common.h"
#include "lineage/attacks.h"
#include "lineage/logit_difference.h"

namespace defectoscope {
namespace {

std::string described_attacks() {
  std::string text = "Attacks that leave the outputs as they are:\n";
  bool damaging = false;
  for (const Attack& attack : attacks()) {
    if (!attack.preserves_function && !damaging) {
      text += "Attacks that damage:\n";
      damaging = true;
    }
    text += fmt::format("  {}: {}", attack.name, attack.what);
    if (!attack.strength_means.empty())
      text += fmt::format("; strength: {}, by default {:g}", attack.strength_means, attack.default_strength);
    text += "\n";
  }
  return text;
}

void report_function(const Model& original, const Model& written) {
  const double difference = logit_difference(original, written);
  fmt::print("logits: {:.1e} from the original's, relatively\n", difference);
  if (difference > kLogitRounding)
    fmt::print(stderr,
               "defectoscope: that is more than rounding: the strength is beyond what 32 bits hold\n");
  const std::optional<bool> alike = text_is_cut_alike(original, written);
  if (alike) fmt::print("text: cut into {} entries as the original's\n", *alike ? "the same" : "other");
}

}  // namespace

void add_disguise(CLI::App& app) {
  struct DisguiseCommand {
    CommonOptions common;
    std::vector<std::string> attacks;
    std::string out, with;
    std::uint64_t seed = 0;
  };
  CLI::App* command = app.add_subcommand(
      "disguise",
      "Write a model as someone would who hides where it comes from, to test `compare` or your own tool");
  auto options = std::make_shared<DisguiseCommand>();
  add_model(*command, options->common, false);
  command
      ->add_option("--attack", options->attacks,
                   "NAME or NAME:STRENGTH; again for more, done in the order given")
      ->required()
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("ATTACK");
  command->add_option("--out", options->out, "The folder to write, empty or new")
      ->required()
      ->type_name("DIR");
  command->add_option("--with", options->with, "The other model of `interpolate`")->type_name("PATH");
  command->add_option("--seed", options->seed, "Chooses permutations, rotations, noise")
      ->capture_default_str()
      ->type_name("S");
  add_threads(*command, options->common);
  command->footer(described_attacks());
  command->callback([options] {
    apply(options->common);
    std::vector<ChosenAttack> chosen;
    for (const std::string& text : options->attacks) chosen.push_back(parse_attack(text));
    const Model original = Model::open(model_folder(options->common.model));
    EditableModel model(original);
    std::unique_ptr<EditableModel> other;
    if (!options->with.empty())
      other = std::make_unique<EditableModel>(Model::open(model_folder(options->with)));
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      Random random(options->seed, i);
      chosen[i].attack->apply(model, {chosen[i].strength, random, other.get()});
    }
    model.write(options->out);
    fmt::print("{}: written, {} layers of width {}\n", options->out, model.config().layers,
               model.config().hidden_size);
    if (std::ranges::all_of(chosen, [](const ChosenAttack& c) { return c.attack->preserves_function; }))
      report_function(original, Model::open(options->out));
  });
}

}  // namespace defectoscope
