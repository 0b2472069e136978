// census, trigger, predictions, ablate: what is fed to the layers that make high norms, and what answers.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>

#include "analysis/calibration_rows.h"
#include "base/error.h"
#include "cli/app.h"
#include "cli/full_scan.h"
#include "report/probe_reports.h"

namespace defectoscope {
namespace {

/// The layers asked for, or those that scan found.
std::vector<Index> layers_of(const AnalysisContext& context, const std::vector<Index>& asked) {
  check_layers(asked, context.model, "--layers");
  std::vector<Index> layers = asked.empty() ? layer_numbers(context.scan.explosion_layers) : asked;
  std::ranges::sort(layers);
  layers.erase(std::ranges::unique(layers).begin(), layers.end());
  return layers;
}

std::string no_layers(const ScanResult& scan) {
  return fmt::format(
      "scan finds no explosion layer in {}: there is nothing to probe. --layers names one to look "
      "at all the same.",
      scan.model_name);
}

/// A token as the vocabulary spells it, or its id.
std::int32_t token_named(const std::string& name, const Tokenizer& tokenizer) {
  if (name.empty()) return -1;
  if (const TokenId id = tokenizer.find(name); id >= 0) return id;
  std::int32_t id = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
  if (error == std::errc{} && end == name.data() + name.size() && id >= 0 && id < tokenizer.size()) return id;
  throw Error(
      ErrorKind::kUsage,
      fmt::format("the vocabulary has no token '{}': give it as the vocabulary spells it, or an id from 0 "
                  "to {}",
                  name, tokenizer.size() - 1));
}

AnalysisOutput run_census(const AnalysisContext& context, const std::vector<Index>& asked) {
  const std::vector<Index> layers = layers_of(context, asked);
  if (layers.empty()) return nothing_output(context.scan, probe_section("census"), no_layers(context.scan));
  const CensusOptions options{.layers = layers,
                              .threshold = context.scan.high_norm.threshold,
                              .paper_parity = context.options.linearize.paper_parity,
                              .seed = context.options.seed};
  return census_output(context.scan,
                       take_census(context.transformer, context.tokenizer, options, context.journal),
                       context.tokenizer);
}

AnalysisOutput run_trigger(const AnalysisContext& context, const std::vector<Index>& asked,
                           const std::string& first_token) {
  const std::vector<Index> layers = layers_of(context, asked);
  if (layers.empty()) return nothing_output(context.scan, probe_section("trigger"), no_layers(context.scan));
  const TriggerOptions options{.layers = layers,
                               .direction = context.scan.high_norm.direction,
                               .linearize = context.options.linearize,
                               .first_token = token_named(first_token, context.tokenizer),
                               .seed = context.options.seed};
  return trigger_output(context.scan,
                        analyse_trigger(context.transformer, context.tokenizer, options, context.journal),
                        context.tokenizer);
}

AnalysisOutput run_predictions(const AnalysisContext& context) {
  if (context.scan.high_norm.direction.empty())
    return nothing_output(context.scan, probe_section("predictions"),
                          fmt::format("{} has no high-norm states, so there is no direction to predict.",
                                      context.scan.model_name));
  return predictions_output(context.scan, predict_direction(context.transformer, context.tokenizer,
                                                            {.direction = context.scan.high_norm.direction,
                                                             .linearize = context.options.linearize,
                                                             .seed = context.options.seed},
                                                            context.journal));
}

/// A beginning of the calibration rows, long enough for a perplexity.
std::vector<TokenIds> ablation_rows(const AnalysisContext& context) {
  constexpr Index kTokens = 4096;
  std::vector<TokenIds> rows;
  for (auto& batch : calibration_batches(context.transformer, context.tokenizer, context.options,
                                         context.scan.parameters, kTokens, context.journal))
    std::ranges::move(batch, std::back_inserter(rows));
  return rows;
}

AnalysisOutput run_ablate(const AnalysisContext& context, const std::vector<Index>& asked,
                          double temperature) {
  const std::vector<Index> layers = layers_of(context, asked);
  if (layers.empty()) return nothing_output(context.scan, probe_section("ablate"), no_layers(context.scan));
  return ablate_output(context.scan, ablate(context.model, context.tokenizer, ablation_rows(context),
                                            {.layers = layers,
                                             .direction = context.scan.high_norm.direction,
                                             .threshold = context.scan.high_norm.threshold,
                                             .linearize = context.options.linearize,
                                             .temperature = temperature,
                                             .seed = context.options.seed,
                                             .compute = context.options.compute},
                                            context.journal));
}

void add_layers(CLI::App& command, const std::shared_ptr<std::vector<Index>>& layers) {
  command.add_option("--layers", *layers, "Layers to look at, 1-based: 2,9 (default: the explosion layers)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("LAYERS");
}

}  // namespace

AnalysisCommand census_analysis() {
  return {.name = "census",
          .description =
              "Which of all vocabulary entries explode: without attention, as first token, and as "
              "many random embeddings",
          .needs = ScanParts::kStates,
          .run = [](const AnalysisContext& context) { return run_census(context, {}); }};
}

AnalysisCommand trigger_analysis() {
  return {.name = "trigger",
          .description =
              "What the explosion layer's FFN answers to: singular vectors, the true maximiser, and "
              "every entry's coefficient",
          .needs = ScanParts::kStates,
          .run = [](const AnalysisContext& context) { return run_trigger(context, {}, ""); }};
}

AnalysisCommand predictions_analysis() {
  return {.name = "predictions",
          .description = "Four predictions of the high-norm direction that look at no text, for every layer",
          .needs = ScanParts::kStates,
          .run = run_predictions};
}

AnalysisCommand ablate_analysis() {
  return {
      .name = "ablate",
      .description = "Remove the explosion subspace: norms, perplexity and generated text before and after",
      .needs = ScanParts::kStates,
      .run = [](const AnalysisContext& context) { return run_ablate(context, {}, 0); }};
}

void add_census(CLI::App& app) {
  AnalysisCommand analysis = census_analysis();
  auto layers = std::make_shared<std::vector<Index>>();
  analysis.run = [layers](const AnalysisContext& context) { return run_census(context, *layers); };
  add_layers(*add_analysis(app, std::move(analysis)), layers);
}

void add_trigger(CLI::App& app) {
  AnalysisCommand analysis = trigger_analysis();
  auto layers = std::make_shared<std::vector<Index>>();
  auto token = std::make_shared<std::string>();
  analysis.run = [layers, token](const AnalysisContext& context) {
    return run_trigger(context, *layers, *token);
  };
  CLI::App* command = add_analysis(app, std::move(analysis));
  add_layers(*command, layers);
  command
      ->add_option("--first-token", *token,
                   "Stands before the entries at second position, as the vocabulary spells it or an id "
                   "(default: the start token)")
      ->type_name("TOKEN");
}

void add_predictions(CLI::App& app) { add_analysis(app, predictions_analysis()); }

void add_ablate(CLI::App& app) {
  AnalysisCommand analysis = ablate_analysis();
  auto layers = std::make_shared<std::vector<Index>>();
  auto temperature = std::make_shared<double>(0);
  analysis.run = [layers, temperature](const AnalysisContext& context) {
    return run_ablate(context, *layers, *temperature);
  };
  CLI::App* command = add_analysis(app, std::move(analysis));
  add_layers(*command, layers);
  command->add_option("--temperature", *temperature, "Of the generated text; 0 is greedy")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 10.0))
      ->type_name("T");
}

}  // namespace defectoscope
