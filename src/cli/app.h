#pragma once

#include <memory>
#include <string>

namespace CLI {
class App;
}

namespace defectoscope {

/// The whole command line: every subcommand with its options, declared once. Help, man page, shell completion
/// and documentation are all made from it.
std::unique_ptr<CLI::App> make_app();

/// Parses and runs. Returns the exit code (ErrorKind); messages go to stderr.
int run_program(int argc, const char* const* argv);

// One subcommand a file.
void add_scan(CLI::App& app);
void add_norms(CLI::App& app);
void add_high_norm(CLI::App& app);
void add_singular(CLI::App& app);
void add_decay(CLI::App& app);
void add_mechanism(CLI::App& app);
void add_training(CLI::App& app);
void add_emergence(CLI::App& app);
void add_compare_report(CLI::App& app);
void add_census(CLI::App& app);
void add_trigger(CLI::App& app);
void add_predictions(CLI::App& app);
void add_ablate(CLI::App& app);
void add_reproduce(CLI::App& app);
void add_inspect(CLI::App& app);
void add_quantize(CLI::App& app);
void add_perplexity(CLI::App& app);
void add_recipe(CLI::App& app);
void add_phantom(CLI::App& app);
void add_download(CLI::App& app);
void add_signature(CLI::App& app);
void add_compare(CLI::App& app);
void add_lineage(CLI::App& app);
void add_registry(CLI::App& app);
void add_disguise(CLI::App& app);
void add_completion(CLI::App& app);
void add_man(CLI::App& app);

}  // namespace defectoscope
