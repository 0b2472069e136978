#include "analysis/emergence.h"

#include <CLI/CLI.hpp>

#include "cli/app.h"
#include "cli/model_list.h"
#include "report/emergence_report.h"

namespace defectoscope {

void add_emergence(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "emergence", "Lay models side by side: what sets their designs apart, and which have high norms");
  auto options = std::make_shared<ModelListCommand>();
  add_model_list(*command, *options, "emergence");
  command->footer("Writes emergence.json, report.html, tables/, figures/ and run.json into --out.");
  command->callback([options] {
    apply(options->common);
    std::vector<EmergenceRow> rows;
    ScanResult first;
    scan_models(
        *options, "emergence", expanded(options->models),
        [&](const Model& model, ScanResult&& scan) {
          rows.push_back(emergence_row(scan, model.config()));
          if (rows.size() == 1) first = std::move(scan);
        },
        [&] { return emergence_output(first, rows); });
  });
}

}  // namespace defectoscope
