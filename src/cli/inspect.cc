#include "model/inspect.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "cli/app.h"
#include "cli/common.h"
#include "report/inspection.h"

namespace defectoscope {

void add_inspect(CLI::App& app) {
  struct InspectCommand {
    CommonOptions common;
    bool json = false, tensors = false, full_hash = false;
  };
  CLI::App* command = app.add_subcommand(
      "inspect", "List what a checkpoint holds: family, shapes, dtypes, parameters, anything missing");
  auto options = std::make_shared<InspectCommand>();
  add_model(*command, options->common, true);
  command->add_flag("--tensors", options->tensors, "List every tensor");
  command->add_flag("--json", options->json, "Print JSON instead of text");
  command->add_flag("--full-hash", options->full_hash, "Fingerprint the whole content, not sampled pages");
  command->callback([options] {
    const Inspection inspection =
        inspect_model(model_folder(options->common.model), options->full_hash, open_options(options->common));
    const std::string text =
        options->json ? inspection_json(inspection) : inspection_text(inspection, options->tensors);
    std::fputs(text.c_str(), stdout);
  });
}

}  // namespace defectoscope
