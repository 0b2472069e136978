#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>

#include "analysis/journal.h"
#include "analysis/kept_perplexity.h"
#include "base/version.h"
#include "checkpoint/checkpoint.h"
#include "cli/app.h"
#include "cli/common.h"
#include "cli/quant_options.h"
#include "kernels/instruction_set.h"
#include "report/quantize_report.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {
namespace {

struct PerplexityCommand {
  CommonOptions common;
  WindowFlags windows;
  SchemeFlags scheme;
  std::string method = "none", out;
  bool json = false;
};

QuantMethod method_of(const PerplexityCommand& command, const Model& model) {
  QuantMethod method = method_named(command.method);
  // Bits alone mean RTN with those bits.
  const auto scheme = scheme_of(command.scheme, method.scheme);
  if (scheme) {
    method.scheme = *scheme;
    method.quantizes = true;
  }
  method.alpha = command.scheme.alpha;
  method.skipped = down_modules(model, command.scheme.skip);
  return method;
}

void run(const PerplexityCommand& command) {
  const RunClock clock;
  apply(command.common);
  const Model model = open_model(command.common);
  const auto tokenizer = open_tokenizer(model.folder());
  const QuantMethod method = method_of(command, model);
  if (method.quantizes) check_unquantized(model);
  const EvaluationText text = read_evaluation_text(command.windows.text, *tokenizer, model);
  const WindowOptions windows = window_options(command.windows, model);
  const TextWindows checked(model, text.tokens, windows);
  const std::filesystem::path out = output_folder(command.out, model, "perplexity");

  std::optional<ActivationMaxima> maxima;
  std::string calibrated_on;
  if (method.quantizes && (method.smooth || method.scheme.static_activations)) {
    const EvaluationText calibration = calibration_text(command.scheme, text, *tokenizer, model);
    calibrated_on = calibration.sha256;
    maxima = calibrate(model, calibration.tokens, windows, compute_type(command.windows));
  }
  const QuantizedModel quantized(model, method, maxima ? &*maxima : nullptr, windows.window,
                                 compute_type(command.windows));

  PerplexityReport report{.model_name = model.name(),
                          .fingerprint = fingerprint(model.checkpoint()),
                          .text = text.source,
                          .text_sha256 = text.sha256,
                          .method = method.quantizes ? method.name : "none",
                          .scheme = method.quantizes ? scheme_text(method.scheme) : "as stored",
                          .skip_layers = command.scheme.skip,
                          .compute = command.windows.compute,
                          .instruction_set = instruction_set(),
                          .window = windows.window,
                          .stride = windows.stride == 0 ? windows.window : windows.stride,
                          .tokens = static_cast<Index>(text.tokens.size()),
                          .notes = quantized.notes(),
                          .result = {}};
  ScanJournal journal(out / ".journal");
  journal.set_key(fmt::format("perplexity {} {} {} {} {} {} {} {} {} {} {} {}", kVersion, report.fingerprint,
                              report.text_sha256, report.method, report.scheme,
                              fmt::join(report.skip_layers, ","), method.alpha, calibrated_on, report.compute,
                              report.instruction_set, report.window, report.stride));
  report.result = kept_perplexity(quantized.transformer(), text.tokens, windows, journal, "windows");
  const std::vector<std::string> missing = write_perplexity_report(report, clock.info(), out);
  journal.clear();
  print_result(command.json ? perplexity_json(report) : perplexity_text(report), missing);
}

}  // namespace

void add_perplexity(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "perplexity",
      "How well a model predicts a text, as it is or quantized: exp(mean token loss) over windows");
  auto options = std::make_shared<PerplexityCommand>();
  add_model(*command, options->common, true);
  add_window_options(*command, options->windows, true);
  command->add_option("--quantize", options->method, "Quantize the matmuls first, by this method")
      ->capture_default_str()
      ->check(CLI::IsMember(method_names()));
  add_scheme_options(*command, options->scheme);
  command
      ->add_option("--out", options->out, "Where results go (default: defectoscope-out/<model>-perplexity)")
      ->type_name("DIR");
  add_threads(*command, options->common);
  command->add_flag("--json", options->json, "Print perplexity.json instead of the summary");
  command->footer(
      "Writes perplexity.json, windows.csv (the loss of every window), report.html, tables, figures and "
      "run.json into --out. What does not fill a last window is left out, and counted. An interrupted run "
      "goes "
      "on where it stopped.");
  command->callback([options] { run(*options); });
}

}  // namespace defectoscope
