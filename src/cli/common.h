#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "report/scan_report.h"

namespace CLI {
class App;
}

namespace defectoscope {

class Model;
struct OpenOptions;

/// Options that several subcommands share, declared in one place.
struct CommonOptions {
  std::string model;    ///< empty: the default model
  std::string family;   ///< empty: as the model says
  std::string adapter;  ///< empty: none
  int threads = 0;      ///< 0: all processors
};
/// MODEL, --family, --adapter.
void add_model(CLI::App& command, CommonOptions& options, bool optional);
void add_threads(CLI::App& command, CommonOptions& options);
/// --rows, with what they are rows of.
void add_rows(CLI::App& command, Index& rows, const std::string& help);

/// Applies --threads.
void apply(const CommonOptions& options);

/// The command line as given, for run.json. Set once by run_program.
std::vector<std::string>& program_arguments();

/// The folder or file MODEL stands for. Empty: the default model, installed beside the program or in the
/// source tree it was built from. hf://org/name[@revision]: fetched from the hub first, see hub_model. Throws
/// Error(kBadInput) where there is no such folder.
std::filesystem::path model_folder(const std::string& model);

/// Model::open of it, as those options say.
Model open_model(const CommonOptions& options);
OpenOptions open_options(const CommonOptions& options);

/// Where a subcommand's results go: `out`, or defectoscope-out/<model>-<suffix>. Made, and known to be
/// writable: that must not turn out after the work. Throws Error(kResources).
std::filesystem::path output_folder(const std::string& out, const Model& model, const std::string& suffix);

/// `text` to standard output, a line to standard error for each sentence that says what could not be made.
void print_result(const std::string& text, const std::vector<std::string>& missing);

/// Starts with the command; what it says goes into run.json.
class RunClock {
 public:
  RunClock();
  RunInfo info() const;

 private:
  std::chrono::steady_clock::time_point begin_;
  std::string started_;
};

}  // namespace defectoscope
