#include "analysis/scan.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "analysis/journal.h"
#include "base/error.h"
#include "base/files.h"
#include "base/progress.h"
#include "checkpoint/checkpoint.h"
#include "cli/app.h"
#include "cli/common.h"
#include "cli/hub_model.h"
#include "model/model.h"
#include "report/scan_report.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {
namespace {

struct ScanCommand {
  CommonOptions common;
  std::string text, out, linearize = "closed", compute = "auto";
  Index rows = 1000, samples = 100000;
  std::uint64_t seed = 0;
  double threshold = 0;
  bool exact = false, json = false, paper_parity = false, full_hash = false;
};

ScanOptions options_of(const ScanCommand& command, const CLI::Option& threshold, const Model& model) {
  ScanOptions options;
  options.text = text_file(command.text);
  options.rows = command.rows;
  options.seed = command.seed;
  options.exact = command.exact;
  if (!threshold.empty()) options.threshold = command.threshold;
  // f32 costs nothing on small models; on large ones bf16 is up to three times as fast where it is fast.
  const bool bf16 = command.compute == "bf16" ||
                    (command.compute == "auto" && model.config().hidden_size >= 2048 && has_fast_bf16());
  options.compute = bf16 ? ComputeType::kBF16 : ComputeType::kF32;
  options.linearize.paper_parity = command.paper_parity;
  options.linearize.seed = command.seed;
  if (command.paper_parity) options.linearize.covariance = InputCovariance::kIdentity;
  if (command.linearize == "sampled") options.linearize.samples = command.samples;
  return options;
}

void run(const ScanCommand& command, const CLI::Option& threshold) {
  const RunClock clock;
  apply(command.common);
  const Model model = Model::open(model_folder(command.common.model));
  const auto tokenizer = open_tokenizer(model.folder());
  const std::filesystem::path out = output_folder(command.out, model, "scan");

  ScanOptions options = options_of(command, threshold, model);
  options.fingerprint = fingerprint(model.checkpoint(), command.full_hash);
  ScanJournal journal(out / ".journal");
  ScanResult result = scan(model, *tokenizer, options, journal);
  const auto missing = write_scan_report(result, clock.info(), out);
  journal.clear();
  std::fputs((command.json ? scan_json(result) : scan_summary(result, out.string())).c_str(), stdout);
  for (const std::string& sentence : missing) std::fprintf(stderr, "defectoscope: %s\n", sentence.c_str());
}

}  // namespace

void add_scan(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "scan",
      "Find a model's high-norm tokens, the layers that make and remove them, and what the weights predict");
  auto options = std::make_shared<ScanCommand>();
  add_model(*command, options->common, true);
  command
      ->add_option(
          "--text", options->text,
          "Calibration text, UTF-8, a row a line, or wikitext-2, wikitext-2-raw, wikitext-2-v1, fetched "
          "where they are not there yet (default: sampled from the model)")
      ->type_name("FILE");
  command->add_option("--out", options->out, "Where results go (default: defectoscope-out/<model>-scan)")
      ->type_name("DIR");
  add_threads(*command, options->common);
  command->add_option("--seed", options->seed, "Chooses rows, samples and starting vectors")
      ->capture_default_str()
      ->type_name("S");
  command->add_flag("--exact", options->exact,
                    "Also decompose every layer by LAPACK (minutes per layer at width 4096)");
  command->add_flag("--json", options->json, "Print results.json instead of the summary");
  command->add_option("--rows", options->rows, "Calibration rows at most")
      ->capture_default_str()
      ->check(CLI::Range(Index{1}, Index{1000000}))
      ->type_name("N");
  CLI::Option* threshold = command
                               ->add_option("--threshold", options->threshold,
                                            "Norm above which a state counts as high (default: found)")
                               ->check(CLI::PositiveNumber)
                               ->type_name("NORM");
  command
      ->add_option("--compute", options->compute,
                   "Arithmetic of the forward pass (auto: bf16 for width 2048 and more where the processor "
                   "is faster in it)")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "f32", "bf16"}));
  command
      ->add_option("--linearize", options->linearize,
                   "How F1 is fitted: in closed form, or as the paper does from samples")
      ->capture_default_str()
      ->check(CLI::IsMember({"closed", "sampled"}));
  command->add_option("--samples", options->samples, "Samples per layer for --linearize sampled")
      ->capture_default_str()
      ->check(CLI::Range(Index{100}, Index{100000000}))
      ->type_name("N");
  command->add_flag("--paper-parity", options->paper_parity,
                    "As the authors' code: no centring, no biases, unit input covariance");
  command->add_flag("--full-hash", options->full_hash, "Fingerprint the whole content, not sampled pages");
  command->footer(
      "Writes results.json, report.html, directions.safetensors, run.json and figures/ into --out. An "
      "interrupted scan "
      "goes on where it stopped when the same command is given again.");
  command->callback([options, threshold] { run(*options, *threshold); });
}

}  // namespace defectoscope
