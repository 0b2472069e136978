#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

namespace defectoscope {

/// What a run of the program left behind.
struct Outcome {
  int exit_code = -1;  ///< 128 + signal where one ended it
  std::string out, err;
};

struct RunOptions {
  std::string program = "defectoscope";  ///< below the build folder
  std::filesystem::path folder;          ///< working directory; empty: this process's
  std::size_t file_limit = 0;            ///< bytes a file may grow to (a full disk); 0: none
  double interrupt_after = 0;            ///< seconds after which SIGINT is sent; 0: never
};

/// Runs the program with these arguments, to its end.
Outcome run_defectoscope(const std::vector<std::string>& arguments, const RunOptions& options = {});

}  // namespace defectoscope
