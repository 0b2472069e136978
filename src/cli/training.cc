#include "analysis/training.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "cli/app.h"
#include "cli/model_list.h"
#include "report/training_report.h"

namespace defectoscope {

namespace {

/// By the numbers in the names; what has none at its end is the finished model and comes last.
bool earlier(const std::string& a, const std::string& b) {
  const bool a_numbered = trailing_number(a).has_value(), b_numbered = trailing_number(b).has_value();
  return a_numbered == b_numbered ? natural_less(a, b) : a_numbered;
}

}  // namespace

void add_training(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "training", "Follow high norms and their direction over the checkpoints of a training run");
  auto options = std::make_shared<ModelListCommand>();
  add_model_list(*command, *options, "training");
  command->footer(
      "Checkpoints are taken in the order of the numbers in their names, one without a number last. Writes "
      "training.json, report.html, "
      "tables/, figures/ and run.json into --out. An interrupted run goes on where it stopped.");
  command->callback([options] {
    apply(options->common);
    std::vector<std::string> models = expanded(options->models);
    std::ranges::stable_sort(models, earlier);
    check_checkpoints(describe_models(models));
    std::vector<ScanResult> scans;
    scan_models(
        *options, "training", models,
        [&](const Model&, ScanResult&& scan) { scans.push_back(std::move(scan)); },
        [&] { return training_output(scans, follow_training(scans)); });
  });
}

}  // namespace defectoscope
