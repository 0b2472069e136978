#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace defectoscope {

/// Options that several subcommands share, declared in one place.
struct CommonOptions {
  std::string model;  ///< empty: the default model
  int threads = 0;    ///< 0: all processors
};
void add_model(CLI::App& command, CommonOptions& options, bool optional);
void add_threads(CLI::App& command, CommonOptions& options);

/// Applies --threads.
void apply(const CommonOptions& options);

/// The command line as given, for run.json. Set once by run_program.
std::vector<std::string>& program_arguments();

/// The folder or file MODEL stands for. Empty: the default model, installed beside the program or in the
/// source tree it was built from. hf://org/name[@revision]: fetched from the hub first, see hub_model. Throws
/// Error(kBadInput) where there is no such folder.
std::filesystem::path model_folder(const std::string& model);

}  // namespace defectoscope
