#include "cli/app.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <new>

#include "base/error.h"
#include "base/progress.h"
#include "base/version.h"
#include "cli/common.h"

namespace defectoscope {

std::unique_ptr<CLI::App> make_app() {
  auto app = std::make_unique<CLI::App>(
      "Finds and explains the singular defects of large language models: which layer makes high-norm tokens, "
      "in "
      "which direction, which layer removes them, and how well the weights alone predict it.",
      "defectoscope");
  app->set_version_flag("--version", "defectoscope " + std::string(kVersion), "Print the version and exit");
  app->set_help_flag("-h,--help", "Print help and exit");
  app->require_subcommand(1);
  app->option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::Throw);
  app->footer(
      "Exit codes: 0 done, 2 wrong usage, 3 bad input (model, tokenizer, text), 4 resources (disk, memory, "
      "permissions), 130 interrupted; the same command resumes.");
  add_scan(*app);
  add_norms(*app);
  add_high_norm(*app);
  add_singular(*app);
  add_decay(*app);
  add_mechanism(*app);
  add_training(*app);
  add_emergence(*app);
  add_compare_report(*app);
  add_census(*app);
  add_trigger(*app);
  add_predictions(*app);
  add_ablate(*app);
  add_reproduce(*app);
  add_inspect(*app);
  add_quantize(*app);
  add_perplexity(*app);
  add_recipe(*app);
  add_phantom(*app);
  add_download(*app);
  add_signature(*app);
  add_compare(*app);
  add_lineage(*app);
  add_registry(*app);
  add_disguise(*app);
  add_completion(*app);
  add_man(*app);
  return app;
}

namespace {

int complain(const std::string& message, ErrorKind kind) {
  std::fprintf(stderr, "defectoscope: %s\n", message.c_str());
  return static_cast<int>(kind);
}

}  // namespace

int run_program(int argc, const char* const* argv) {
  program_arguments().assign(argv, argv + argc);
  const auto app = make_app();
  try {
    app->parse(argc, argv);
    // What was printed must have arrived: a full disk behind a redirection is an error like any other.
    if (std::fflush(stdout) != 0) return complain("cannot write to standard output", ErrorKind::kResources);
    return 0;
  } catch (const CLI::Success& success) {  // --help, --version
    return app->exit(success);
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "defectoscope: %s\nTry 'defectoscope --help' or 'defectoscope SUBCOMMAND --help'.\n",
                 error.what());
    return static_cast<int>(ErrorKind::kUsage);
  } catch (const Error& error) {
    return complain(error.what(), error.kind());
  } catch (const std::bad_alloc&) {
    return complain("out of memory; close other programs, or lower --rows", ErrorKind::kResources);
  } catch (const std::exception& error) {
    return complain(std::string("internal error, please report it: ") + error.what(), ErrorKind::kResources);
  }
}

}  // namespace defectoscope
