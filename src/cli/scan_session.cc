#include "cli/scan_session.h"

#include <CLI/CLI.hpp>

#include "checkpoint/checkpoint.h"
#include "cli/hub_model.h"

namespace defectoscope {
namespace {

ScanOptions options_of(const ScanCommand& command, const Model& model) {
  ScanOptions options;
  options.text = text_file(command.text);
  options.rows = command.rows;
  options.seed = command.seed;
  options.exact = command.exact;
  options.threshold = command.threshold;
  options.compute = command.compute == "auto"   ? automatic_compute(model)
                    : command.compute == "bf16" ? ComputeType::kBF16
                                                : ComputeType::kF32;
  options.linearize.paper_parity = command.paper_parity;
  options.linearize.seed = command.seed;
  if (command.paper_parity) options.linearize.covariance = InputCovariance::kIdentity;
  if (command.linearize == "sampled") options.linearize.samples = command.samples;
  options.fingerprint = fingerprint(model.checkpoint(), command.full_hash);
  return options;
}

Model open_model(const ScanCommand& command) {
  apply(command.common);
  return open_model(command.common);
}

void add_calibration_options(CLI::App& command, ScanCommand& options) {
  command
      .add_option(
          "--text", options.text,
          "Calibration text, UTF-8, a row a line, or wikitext-2, wikitext-2-raw, wikitext-2-v1, fetched "
          "where they are not there yet (default: sampled from the model; without a causal mask, random "
          "vocabulary entries)")
      ->type_name("FILE");
  command.add_option("--seed", options.seed, "Chooses rows, samples and starting vectors")
      ->capture_default_str()
      ->type_name("S");
  add_rows(command, options.rows, "Calibration rows at most");
  command
      .add_option("--threshold", options.threshold,
                  "Norm above which a state counts as high (default: found)")
      ->check(CLI::PositiveNumber)
      ->type_name("NORM");
}

void add_linearize_options(CLI::App& command, ScanCommand& options) {
  command.add_flag("--exact", options.exact,
                   "Also decompose every layer by LAPACK (minutes per layer at width 4096)");
  command
      .add_option("--linearize", options.linearize,
                  "How F1 is fitted: in closed form, or as the paper does from samples")
      ->capture_default_str()
      ->check(CLI::IsMember({"closed", "sampled"}));
  command.add_option("--samples", options.samples, "Samples per layer for --linearize sampled")
      ->capture_default_str()
      ->check(CLI::Range(Index{100}, Index{100000000}))
      ->type_name("N");
  command.add_flag("--paper-parity", options.paper_parity,
                   "As the authors' code: no centring, no biases, unit input covariance");
}

}  // namespace

void add_scan_options(CLI::App& command, ScanCommand& options, const std::string& name, ScanParts parts) {
  add_model(command, options.common, true);
  command
      .add_option("--out", options.out, "Where results go (default: defectoscope-out/<model>-" + name + ")")
      ->type_name("DIR");
  add_threads(command, options.common);
  command.add_flag(
      "--json", options.json,
      "Print " + std::string(name == "scan" ? "results" : name) + ".json instead of the summary");
  command
      .add_option("--compute", options.compute,
                  "Arithmetic of the forward pass (auto: bf16 for width 2048 and more where the processor "
                  "is faster in it)")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "f32", "bf16"}));
  command.add_flag("--full-hash", options.full_hash, "Fingerprint the whole content, not sampled pages");
  if (parts != ScanParts::kNothing) add_calibration_options(command, options);
  if (parts == ScanParts::kAll) add_linearize_options(command, options);
}

ComputeType automatic_compute(const Model& model) {
  return model.config().hidden_size >= 2048 && has_fast_bf16() ? ComputeType::kBF16 : ComputeType::kF32;
}

ScanSession::ScanSession(const ScanCommand& command, const std::string& name)
    : model(open_model(command)),
      tokenizer(open_tokenizer(model.folder())),
      out(output_folder(command.out, model, name)),
      options(options_of(command, model)),
      journal(out / ".journal") {}

void ScanSession::finish(const std::string& text, const std::vector<std::string>& missing) {
  journal.clear();
  print_result(text, missing);
}

}  // namespace defectoscope
