#include "lineage/compare.h"

#include <CLI/CLI.hpp>
#include <cstdio>

#include "cli/app.h"
#include "cli/common.h"
#include "cli/signature_source.h"
#include "report/lineage_text.h"

namespace defectoscope {

void add_compare(CLI::App& app) {
  struct CompareCommand {
    CommonOptions common;
    std::string a, b;
    bool json = false, paper = false;
  };
  CLI::App* command = app.add_subcommand(
      "compare", "Say whether one model was made from another, and how sure that is; from the weights alone");
  auto options = std::make_shared<CompareCommand>();
  constexpr const char* kWhat = "A model (as for `scan`) or a signature file (*.sig.safetensors)";
  command->add_option("A", options->a, kWhat)->required()->type_name("PATH");
  command->add_option("B", options->b, kWhat)->required()->type_name("PATH");
  command->add_flag("--json", options->json, "Print JSON instead of text");
  command->add_flag(
      "--paper-parity", options->paper,
      "Compare models by directions as the paper's authors compute them, not in canonical form");
  add_threads(*command, options->common);
  command->footer(
      "Two models, rather than their signature files, are also compared after their hidden spaces "
      "were aligned through the shared vocabulary.\n"
      "Exit code 0 whatever the verdict; read it from --json. docs/lineage.md says how to read it.");
  command->callback([options] {
    apply(options->common);
    SignatureOptions signature;
    if (options->paper) signature.form = SignatureForm::kPaper;
    const Comparand a = comparand_of(options->a, signature), b = comparand_of(options->b, signature);
    const EmbeddingAlignment alignment = align_embeddings(a.vocabulary, b.vocabulary);
    const Comparison comparison = compare(a.signature, b.signature, &alignment);
    std::fputs((options->json ? comparison_json(comparison) : comparison_text(comparison)).c_str(), stdout);
  });
}

}  // namespace defectoscope
