#include "lineage/signature.h"

#include <CLI/CLI.hpp>
#include <cstdio>

#include "cli/app.h"
#include "cli/common.h"
#include "cli/signature_source.h"
#include "lineage/signature_file.h"
#include "report/lineage_text.h"

namespace defectoscope {

void add_signature(CLI::App& app) {
  struct SignatureCommand {
    CommonOptions common;
    SignatureOptions options;
    std::string out;
    bool paper = false;
  };
  CLI::App* command = app.add_subcommand(
      "signature",
      "Write what of a model tells later which models were made from it: directions, not weights");
  auto options = std::make_shared<SignatureCommand>();
  add_model(*command, options->common, false);
  command->add_option("-o,--out", options->out, "The file to write, usually NAME.sig.safetensors")
      ->required()
      ->type_name("FILE");
  command->add_option("--tokens", options->options.tokens, "Vocabulary entries to sample, at most")
      ->check(CLI::Range(0, 100000))
      ->capture_default_str()
      ->type_name("N");
  command->add_flag(
      "--paper-parity", options->paper,
      "Directions as the paper's authors compute them, not in canonical form; compare only with "
      "others of that form");
  add_threads(*command, options->common);
  command->footer("docs/lineage.md says what the file holds and what it reveals.");
  command->callback([options] {
    apply(options->common);
    if (options->paper) options->options.form = SignatureForm::kPaper;
    const Signature signature = signature_of_model(options->common.model, options->options);
    write_signature(signature, options->out);
    std::fputs(signature_text(signature).c_str(), stdout);
  });
}

}  // namespace defectoscope
