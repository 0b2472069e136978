#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>

#include "analysis/journal.h"
#include "analysis/scan.h"
#include "base/error.h"
#include "base/version.h"
#include "checkpoint/checkpoint.h"
#include "cli/app.h"
#include "cli/common.h"
#include "cli/quant_options.h"
#include "kernels/instruction_set.h"
#include "quantize/export.h"
#include "quantize/skip_layers.h"
#include "quantize/study.h"
#include "report/quantize_report.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {
namespace {

struct QuantizeCommand {
  CommonOptions common;
  WindowFlags windows;
  SchemeFlags scheme;
  std::string out, target, order = "measured", exported, export_method = "rtn";
  Index draws = -1, rows = 1000;
  std::uint64_t seed = 0;
  bool json = false, find = false;
};

/// "5%" or "0.05".
double parse_share(const std::string& text) {
  std::size_t used = 0;
  double value = 0;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  const bool percent = used > 0 && text.substr(used) == "%";
  if (used == 0 || (!percent && used != text.size()) || !(value >= 0))
    throw Error(
        ErrorKind::kUsage,
        fmt::format("--target-ppl-increase takes a share such as 5% or 0.05, not negative; got '{}'", text));
  return percent ? value / 100 : value;
}

/// The life cycle by scan: on the calibration text where there is one, else on what the model samples.
ScanResult scanned(const Model& model, const Tokenizer& tokenizer, const QuantizeCommand& command,
                   ScanJournal& journal) {
  ScanOptions options;
  options.text = command.scheme.calibration;
  options.rows = command.rows;
  options.seed = command.seed;
  options.compute = compute_type(command.windows);
  return scan(model, tokenizer, options, journal);
}

/// --export: no table, the model itself.
void export_model(const QuantizeCommand& command) {
  const Model model = open_model(command.common);
  check_unquantized(model);
  const auto tokenizer = open_tokenizer(model.folder());
  QuantMethod method = method_named(command.export_method);
  method.alpha = command.scheme.alpha;
  // Programs that run such files know a step a tensor from calibration alone, not from each input.
  if (method.scheme.activations == Granularity::kTensor) method.scheme.static_activations = true;
  method.scheme = scheme_of(command.scheme, method.scheme).value_or(method.scheme);
  down_modules(model, command.scheme.skip);

  std::optional<ActivationMaxima> maxima;
  if (method.scheme.static_activations || method.smooth) {
    const std::string& text =
        command.scheme.calibration.empty() ? command.windows.text : command.scheme.calibration;
    if (text.empty())
      throw Error(ErrorKind::kUsage,
                  fmt::format("--export-method {} needs --calibration: a text for the inputs' ranges",
                              command.export_method));
    maxima = calibrate(model, read_evaluation_text(text, *tokenizer, model).tokens,
                       window_options(command.windows, model), compute_type(command.windows));
  }
  std::vector<Index> layers = command.scheme.skip;
  if (layers.empty()) {
    const std::filesystem::path out = output_folder(command.out, model, "quantize");
    ScanJournal journal(out / ".journal-scan");
    layers = found_layers(scanned(model, *tokenizer, command, journal));
    journal.clear();
  }
  method.skipped = down_modules(model, layers);
  export_compressed_tensors(model, method, maxima ? &*maxima : nullptr, command.exported);
  fmt::print("{}: {} as {}, in compressed-tensors' format.\n", command.exported, model.name(),
             scheme_text(method.scheme));
  if (method.scheme.static_activations)
    if (const std::string note = unmet_experts_note(model, *maxima); !note.empty())
      fmt::print("Note: {}\n", note);
  if (method.skipped.empty()) fmt::print("No matrix was left alone but the LM head: no layer is special.\n");
  for (const ModuleId id : method.skipped) fmt::print("Left as it is: {}\n", module_path(model, id));
  fmt::print("{:.2f} MB before, {:.2f} MB now.\n", static_cast<double>(model_bytes(model)) / 1e6,
             static_cast<double>(model_bytes(model, method.scheme, method.skipped)) / 1e6);
}

void run(const QuantizeCommand& command) {
  constexpr Index kManyDraws = 20, kSmallModel = 50'000'000;
  const RunClock clock;
  apply(command.common);
  if (!command.exported.empty()) {
    export_model(command);
    return;
  }
  const Model model = open_model(command.common);
  check_unquantized(model);
  const auto tokenizer = open_tokenizer(model.folder());
  StudyOptions options;
  options.windows = window_options(command.windows, model);
  options.alpha = command.scheme.alpha;
  smoothing_factors({}, {}, options.alpha);  // refuses an α outside [0, 1] before the work
  options.compute = compute_type(command.windows);
  options.seed = command.seed;
  options.scheme = scheme_of(command.scheme, rtn_scheme());
  options.auto_from_forecast = command.order == "forecast";
  if (command.find || !command.target.empty())
    options.target_increase = parse_share(command.target.empty() ? "5%" : command.target);
  down_modules(model, command.scheme.skip);  // refuses layers that are not there
  // What is wrong with the texts is said before the work.
  std::optional<EvaluationText> text, calibration;
  if (!command.windows.text.empty()) {
    text = read_evaluation_text(command.windows.text, *tokenizer, model);
    const TextWindows checked(model, text->tokens, options.windows);
  }
  if (!command.scheme.calibration.empty())
    calibration = read_evaluation_text(command.scheme.calibration, *tokenizer, model);
  const std::filesystem::path out = output_folder(command.out, model, "quantize");

  ScanJournal scan_journal(out / ".journal-scan");
  const ScanResult scan = scanned(model, *tokenizer, command, scan_journal);
  if (!text) text = sample_evaluation_text(model, *tokenizer, scan.parameters, command.seed, scan_journal);
  if (!calibration) calibration = text;
  options.skip_layers = command.scheme.skip.empty() ? found_layers(scan) : command.scheme.skip;
  options.draws = command.draws >= 0 ? command.draws : scan.parameters <= kSmallModel ? kManyDraws : 0;
  ScanJournal journal(out / ".journal");
  journal.set_key(fmt::format("quantize {} {} {} {} {} {} {} {} {} {}", kVersion, scan.fingerprint,
                              text->sha256, calibration->sha256, options.windows.window,
                              options.windows.stride, options.alpha, options.seed, command.windows.compute,
                              instruction_set()));
  QuantizeStudy study = study_quantization(model, *text, *calibration, &scan, options, journal);
  study.skip_from_scan = command.scheme.skip.empty();
  if (study.skip_layers.empty())
    study.notes.emplace_back("scan finds no explosion or decay layer: there is nothing the paper would skip");

  const QuantizeReport report{.study = study,
                              .fingerprint = scan.fingerprint,
                              .instruction_set = instruction_set(),
                              .seed = command.seed};
  const std::vector<std::string> missing = write_quantize_report(report, clock.info(), out);
  journal.clear();
  scan_journal.clear();
  print_result(command.json ? quantize_json(report) : quantize_text(report, out.string()), missing);
}

}  // namespace

void add_quantize(CLI::App& app) {
  CLI::App* command = app.add_subcommand("quantize",
                                         "What 8-bit quantization costs this model, and how much is won back "
                                         "by leaving few matrices in 16 bits");
  auto options = std::make_shared<QuantizeCommand>();
  add_model(*command, options->common, true);
  add_window_options(*command, options->windows, false);
  add_scheme_options(*command, options->scheme);
  command->add_flag("--auto", options->find,
                    "Find the smallest set of matrices whose skipping reaches --target-ppl-increase");
  command
      ->add_option("--target-ppl-increase", options->target,
                   "Of the perplexity, over the unquantized model's (--auto; default: 5%)")
      ->type_name("SHARE");
  command->add_option("--auto-from", options->order, "The damage --auto orders matrices by")
      ->capture_default_str()
      ->check(CLI::IsMember({"measured", "forecast"}));
  command
      ->add_option("--draws", options->draws,
                   "Random skip sets of the same size, as a control (default: 20, none for large models)")
      ->check(CLI::Range(Index{0}, Index{1000}))
      ->type_name("N");
  add_rows(*command, options->rows, "Calibration rows of the scan at most");
  command->add_option("--seed", options->seed, "Chooses the scan's rows and the random skip sets")
      ->capture_default_str()
      ->type_name("S");
  command->add_option("--out", options->out, "Where results go (default: defectoscope-out/<model>-quantize)")
      ->type_name("DIR");
  command
      ->add_option("--export", options->exported,
                   "Write the quantized model there, as compressed-tensors, in place of the table")
      ->type_name("DIR");
  command->add_option("--export-method", options->export_method, "How --export quantizes")
      ->capture_default_str()
      ->check(CLI::IsMember({"rtn", "smoothquant", "per-token"}));
  add_threads(*command, options->common);
  command->add_flag("--json", options->json, "Print quantize.json instead of the table");
  command->footer(
      "Writes quantize.json, report.html, tables, figures, speed.csv and run.json into --out. Without --skip "
      "the "
      "layers are those that scan finds, without --text the model's own samples are the text. An interrupted "
      "run goes on where it stopped.");
  command->callback([options] { run(*options); });
}

}  // namespace defectoscope
