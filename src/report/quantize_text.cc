#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/files.h"
#include "report/analysis_report.h"
#include "report/quantize_report.h"

namespace defectoscope {
namespace {

std::string row_text(const MethodOutcome& row) {
  return fmt::format("  {:<30} {:>10.4f} {:>10.2e} {:>8.2f} % {:>9.2f} MB {:>9.0f}  {}\n", row.method,
                     row.perplexity, row.mean_kl, 100 * row.top1_agreement,
                     static_cast<double>(row.bytes) / 1e6, row.tokens_per_second, row.scheme);
}

std::string modules_text(const QuantizeStudy& study) {
  constexpr std::size_t kShown = 8;
  std::vector<const ModuleOutcome*> order;
  for (const ModuleOutcome& module : study.modules) order.push_back(&module);
  const auto damage = [](const ModuleOutcome* module) {
    return module->alone_kl.value_or(module->measured.relative_error);
  };
  std::ranges::stable_sort(order, std::ranges::greater(), damage);
  std::string text =
      fmt::format("\nMost damaging when quantized alone:\n  {:<26} {:>10} {:>14} {:>14} {:>12}\n", "matmul",
                  "KL", "output error", "forecast", "input max");
  for (std::size_t i = 0; i < std::min(kShown, order.size()); ++i) {
    const ModuleOutcome& module = *order[i];
    text += fmt::format(
        "  {:<26} {:>10} {:>12.3f} % {:>14} {:>12.4g}\n", module_label(module.id),
        module.alone_kl ? fmt::format("{:.2e}", *module.alone_kl) : "-", 100 * module.measured.relative_error,
        module.forecast ? fmt::format("{:.3f} %", 100 * module.forecast->relative_error) : "-",
        module.measured.input_max);
  }
  if (study.forecast_rank_correlation)
    text += fmt::format("  Rank correlation of forecast and measured output errors: {:.2f} over {} matmuls\n",
                        *study.forecast_rank_correlation, study.modules.size());
  return text;
}

std::string search_text(const SkipSearch& search) {
  std::string text = fmt::format(
      "\nSmallest skip set within {:.3g} % of the perplexity ({} damage, {} evaluations): {} matmul{}, "
      "perplexity "
      "{:.4f} ({:+.2f} %)\n",
      100 * search.target, search.order, search.evaluations, search.skipped.size(),
      search.skipped.size() == 1 ? "" : "s", search.perplexity, 100 * search.increase);
  for (const ModuleId id : search.skipped) text += "  " + module_label(id) + "\n";
  return text;
}

}  // namespace

std::string perplexity_csv(const PerplexityReport& report) {
  std::string text = "window,begin,targets,loss\n";
  Index number = 0;
  for (const WindowLoss& window : report.result.windows)
    text += fmt::format("{},{},{},{}\n", ++number, window.begin, window.targets, window.loss);
  return text;
}

std::string perplexity_text(const PerplexityReport& r) {
  std::string text = fmt::format(
      "{} ({}) on {}: perplexity {:.4f}, mean loss {:.4f} nats\n{} windows of {} tokens, {} targets; {} of "
      "{} tokens left out at the end\n",
      r.model_name, r.method == "none" ? std::string("as stored") : r.method + ", " + r.scheme, r.text,
      r.result.perplexity, r.result.mean_loss, r.result.windows.size(), r.window, r.result.targets,
      r.result.left_out, r.tokens);
  for (const std::string& note : r.notes) text += "Note: " + note + "\n";
  return text;
}

std::string quantize_text(const QuantizeReport& report, const std::string& out) {
  const QuantizeStudy& s = report.study;
  std::string text = fmt::format("{} on {}: {} windows of {} tokens, {} targets, {} tokens left out\n",
                                 s.model_name, s.text, s.windows, s.window, s.targets, s.left_out);
  text += s.skip_layers.empty()
              ? std::string("Skip set: none\n\n")
              : fmt::format("Skip set: F2 of layer{} {} ({})\n\n", s.skip_layers.size() == 1 ? "" : "s",
                            fmt::join(s.skip_layers, ", "),
                            s.skip_from_scan ? "explosion and decay layers, by scan" : "as given");
  text += fmt::format("  {:<30} {:>10} {:>10} {:>10} {:>12} {:>9}\n", "method", "perplexity", "KL",
                      "same top", "weights", "tokens/s");
  for (const MethodOutcome& row : s.rows) text += row_text(row);
  if (!s.controls.empty()) text += "\nControls:\n";
  for (const MethodOutcome& row : s.controls) text += row_text(row);
  if (!s.draws.empty()) {
    const auto [low, high] = std::ranges::minmax(s.draws, {}, &MethodOutcome::mean_kl);
    text +=
        fmt::format("  {} random sets of the same size: KL {:.2e} to {:.2e}; the skip set beats {} of them\n",
                    s.draws.size(), low.mean_kl, high.mean_kl, s.draws_beaten);
  }
  text += modules_text(s);
  if (s.search) text += search_text(*s.search);
  for (const std::string& note : s.notes) text += "Note: " + note + "\n";
  return text + "\nFiles are in " + out + "\n";
}

std::vector<std::string> write_perplexity_report(const PerplexityReport& report, const RunInfo& run,
                                                 const std::filesystem::path& out) {
  make_folder(out);
  write_file(out / "perplexity.json", perplexity_json(report));
  write_file(out / "windows.csv", perplexity_csv(report));
  std::vector<std::string> missing =
      write_sections({.name = report.model_name,
                      .facts = fmt::format("{}, {} tokens", report.text, report.tokens),
                      .cards = {},
                      .sections = perplexity_sections(report),
                      .summary = perplexity_text(report)},
                     out);
  write_file(out / "run.json", run_json(run));
  return missing;
}

std::vector<std::string> write_quantize_report(const QuantizeReport& report, const RunInfo& run,
                                               const std::filesystem::path& out) {
  const QuantizeStudy& study = report.study;
  make_folder(out);
  write_file(out / "quantize.json", quantize_json(report));
  std::string speed = "method,tokens_per_second\n";
  for (const auto* rows : {&study.rows, &study.controls, &study.draws})
    for (const MethodOutcome& row : *rows)
      speed += fmt::format("\"{}\",{:.1f}\n", row.method, row.tokens_per_second);
  write_file(out / "speed.csv", speed);
  std::vector<std::string> missing =
      write_sections({.name = study.model_name,
                      .facts = fmt::format("{}, on {}, {} tokens", study.family, study.text, study.tokens),
                      .cards = {},
                      .sections = quantize_sections(report)},
                     out);
  write_file(out / "run.json", run_json(run));
  return missing;
}

}  // namespace defectoscope
