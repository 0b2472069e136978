#include "cli/quant_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/error.h"

namespace defectoscope {
namespace {

Granularity granularity_named(const std::string& name) {
  if (name == "tensor") return Granularity::kTensor;
  return name == "group" ? Granularity::kGroup : Granularity::kChannel;
}

}  // namespace

void add_window_options(CLI::App& command, WindowFlags& flags, bool text_required) {
  CLI::Option* text =
      command.add_option("--text", flags.text,
                         "The text to predict, UTF-8; its lines are joined as the usual scripts "
                         "join WikiText's rows");
  text->type_name("FILE");
  if (text_required) text->required();
  command
      .add_option("--window", flags.window,
                  "Tokens of a window (default: 2048, or the model's context where that is shorter)")
      ->check(CLI::Range(Index{2}, Index{1} << 30))
      ->type_name("N");
  command
      .add_option("--stride", flags.stride,
                  "Tokens from one window's start to the next; shorter than the window, each token is scored "
                  "once, with more context (default: the window)")
      ->check(CLI::Range(Index{1}, Index{1} << 30))
      ->type_name("N");
  command.add_flag("--force", flags.force, "Allow windows beyond the context the model was configured for");
  command.add_option("--compute", flags.compute, "Arithmetic of what is not quantized")
      ->capture_default_str()
      ->check(CLI::IsMember({"f32", "bf16"}));
}

WindowOptions window_options(const WindowFlags& flags, const Model& model) {
  return {.window = window_for(model, flags.window), .stride = flags.stride, .beyond_context = flags.force};
}

ComputeType compute_type(const WindowFlags& flags) {
  return flags.compute == "bf16" ? ComputeType::kBF16 : ComputeType::kF32;
}

void add_scheme_options(CLI::App& command, SchemeFlags& flags) {
  auto& changing = flags.scheme_options;
  changing.push_back(
      command.add_option("--wbits", flags.weight_bits, "Bits of a weight, 2 to 16; 16 leaves them alone"));
  changing.push_back(command.add_option("--abits", flags.activation_bits,
                                        "Bits of a matmul's input, 2 to 16; 16 leaves it alone"));
  changing.back()->capture_default_str()->type_name("N");
  changing.front()->capture_default_str()->type_name("N");
  changing.push_back(command.add_option("--weights", flags.weights, "What of a matrix shares one step"));
  changing.back()->capture_default_str()->check(CLI::IsMember({"tensor", "channel", "group"}));
  changing.push_back(
      command.add_option("--activations", flags.activations, "What of an input shares one step"));
  changing.back()->capture_default_str()->check(CLI::IsMember({"tensor", "token", "group"}));
  changing.push_back(command.add_option("--group-size", flags.group, "Values of a group"));
  changing.back()->capture_default_str()->type_name("N");
  changing.push_back(command.add_flag("--simulate", flags.simulate,
                                      "Quantize, dequantize and multiply in f32 where integers would do"));
  changing.push_back(command.add_flag("--static", flags.is_static,
                                      "Inputs' steps from the calibration text, not from each input"));
  command
      .add_option(
          "--alpha", flags.alpha,
          "SmoothQuant's migration strength, 0 to 1 (its authors: 0.5 for most families, 0.75 for GLM, "
          "0.8 to 0.9 for LLaMA)")
      ->capture_default_str()
      ->type_name("A");
  command
      .add_option("--skip", flags.skip, "Layers whose down projection (F2) stays unquantized, 1-based: 2,31")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("LAYERS");
  command.add_option("--calibration", flags.calibration, "Text for the inputs' maxima (default: --text)")
      ->type_name("FILE");
}

std::optional<QuantScheme> scheme_of(const SchemeFlags& flags, QuantScheme base) {
  if (std::ranges::none_of(flags.scheme_options, [](const CLI::Option* option) { return !option->empty(); }))
    return std::nullopt;
  const auto given = [&](std::size_t i) { return !flags.scheme_options[i]->empty(); };
  if (given(0)) base.weight_bits = flags.weight_bits;
  if (given(1)) base.activation_bits = flags.activation_bits;
  if (given(2)) base.weights = granularity_named(flags.weights);
  if (given(3)) base.activations = granularity_named(flags.activations);
  if (given(4)) base.group_size = flags.group;
  base.simulated |= flags.simulate;
  base.static_activations |= flags.is_static;
  check_scheme(base);
  return base;
}

EvaluationText calibration_text(const SchemeFlags& flags, const EvaluationText& text,
                                const Tokenizer& tokenizer, const Model& model) {
  return flags.calibration.empty() ? text : read_evaluation_text(flags.calibration, tokenizer, model);
}

}  // namespace defectoscope
