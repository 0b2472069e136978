#include "synthesis/phantom.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "cli/app.h"
#include "cli/common.h"

namespace defectoscope {
namespace {

std::vector<std::string> shape_names() {
  std::vector<std::string> names;
  for (const PhantomShape& shape : phantom_shapes()) names.push_back(shape.name);
  return names;
}

std::vector<std::string> variant_names() {
  std::vector<std::string> names;
  for (const PhantomVariant variant : phantom_variants()) names.emplace_back(variant_name(variant));
  return names;
}

}  // namespace

void add_phantom(CLI::App& app) {
  struct PhantomCommand {
    CommonOptions common;
    PhantomOptions options;
    std::string shape = "tiny", variant = "standard", second = "amplifies", out;
    Index layers = 0, vocabulary = 0;  // 0: the shape's own
  };
  CLI::App* command = app.add_subcommand(
      "phantom", "Write a checkpoint with planted, known singular defects, to test this program or your own");
  auto options = std::make_shared<PhantomCommand>();
  command->add_option("--shape", options->shape, "The model's shape")
      ->capture_default_str()
      ->check(CLI::IsMember(shape_names()));
  command->add_option("--layers", options->layers, "So many layers instead of the shape's own")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  command
      ->add_option("--vocabulary", options->vocabulary,
                   "So many vocabulary entries instead of the shape's own")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  command->add_option("--seed", options->options.seed, "Chooses all random weights")
      ->capture_default_str()
      ->type_name("S");
  command->add_option("--out", options->out, "The folder to write; must not hold files yet")
      ->required()
      ->type_name("DIR");
  command->add_option("--variant", options->variant, "What is planted; all but 'standard' are near misses")
      ->capture_default_str()
      ->check(CLI::IsMember(variant_names()));
  command
      ->add_option("--explosion", options->options.explosion_layers, "Explosion layers, 1-based (default: 2)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("LAYERS");
  command
      ->add_option("--decay", options->options.decay_layers,
                   "Decay layers, 1-based (default: the last but one)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("LAYERS");
  command->add_option("--second", options->second, "What a second explosion layer does")
      ->capture_default_str()
      ->check(CLI::IsMember({"amplifies", "other-tokens"}));
  command
      ->add_option("--ratio", options->options.ratio, "High norm over ordinary norm at the explosion layer")
      ->capture_default_str()
      ->type_name("R");
  command
      ->add_option("--spike-tokens", options->options.spike_tokens,
                   "Vocabulary entries that explode wherever they stand")
      ->capture_default_str()
      ->type_name("N");
  command->add_flag("--start-token", options->options.add_start_token,
                    "The tokenizer puts <s> before a text");
  add_threads(*command, options->common);
  command->footer(
      "truth.json in the folder holds what was planted: layers, u, v, spike tokens, expected norms.");
  command->callback([options] {
    apply(options->common);
    PhantomOptions& phantom = options->options;
    phantom.shape = phantom_shape_named(options->shape);
    if (options->layers > 0) phantom.shape.layers = options->layers;
    if (options->vocabulary > 0) phantom.shape.vocab_size = options->vocabulary;
    phantom.variant = variant_named(options->variant);
    phantom.second =
        options->second == "amplifies" ? SecondExplosion::kAmplifies : SecondExplosion::kOtherTokens;
    const PhantomTruth truth = write_phantom(phantom, options->out);
    fmt::print("{}: {} parameters, explosion layers [{}], decay layers [{}], truth in truth.json\n",
               options->out, parameter_count(phantom.shape), fmt::join(truth.explosion_layers, ", "),
               fmt::join(truth.decay_layers, ", "));
  });
}

}  // namespace defectoscope
