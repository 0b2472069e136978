#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/files.h"
#include "cli/app.h"
#include "cli/common.h"
#include "cli/signature_source.h"
#include "lineage/relations.h"
#include "report/analysis_report.h"
#include "report/relations_text.h"

namespace defectoscope {

void add_lineage(CLI::App& app) {
  struct LineageCommand {
    CommonOptions common;
    std::vector<std::string> models;
    std::string out;
    bool json = false, paper = false;
  };
  CLI::App* command = app.add_subcommand(
      "lineage", "Compare several models all with all: clusters, dendrogram, likely parents");
  auto options = std::make_shared<LineageCommand>();
  command
      ->add_option("MODELS", options->models,
                   "Models (as for `scan`) or signature files, in any mix; two or more")
      ->required()
      ->expected(2, 1000)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("PATH");
  command->add_flag("--json", options->json, "Print JSON instead of text");
  command
      ->add_option("--out", options->out,
                   "Also write lineage.json, report.html, tables and figures into this folder")
      ->type_name("DIR");
  command->add_flag("--paper-parity", options->paper,
                    "Directions as the paper's authors compute them, not in canonical form");
  add_threads(*command, options->common);
  command->callback([options] {
    apply(options->common);
    SignatureOptions signature;
    if (options->paper) signature.form = SignatureForm::kPaper;
    std::vector<Signature> signatures;
    for (const std::string& model : options->models) signatures.push_back(signature_of(model, signature));
    const Relations result = relations(signatures);
    if (!options->out.empty()) {
      make_folder(options->out);
      write_file(std::filesystem::path(options->out) / "lineage.json", relations_json(result));
      const ModelPage page{.name = "Lineage",
                           .facts = fmt::format("{} models", signatures.size()),
                           .sections = {relations_section(result)},
                           .summary = relations_text(result)};
      for (const std::string& missing : write_sections(page, options->out))
        fmt::print(stderr, "defectoscope: {}\n", missing);
    }
    std::fputs((options->json ? relations_json(result) : relations_text(result)).c_str(), stdout);
  });
}

}  // namespace defectoscope
