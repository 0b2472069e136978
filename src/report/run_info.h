#pragma once

#include <string>
#include <utility>
#include <vector>

namespace defectoscope {

/// How and when a result was made: what results must not hold, so that they depend on the input alone.
struct RunInfo {
  std::vector<std::string> command;  ///< argv
  std::string started;               ///< ISO 8601, UTC
  double seconds = 0;                ///< wall time
  int threads = 0;
  std::vector<std::pair<std::string, double>> phases;  ///< name, seconds
};

/// run.json's text (schema docs/schema/run.schema.json).
std::string run_json(const RunInfo& run);

}  // namespace defectoscope
