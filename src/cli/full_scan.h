#pragma once

#include <vector>

#include "cli/analysis_command.h"

namespace defectoscope {

/// Every analysis that `scan --full` runs after the scan, each with its own defaults.
std::vector<AnalysisCommand> full_scan_analyses();

/// Runs them, or takes finished ones from the journal.
std::vector<AnalysisOutput> run_full_scan(const AnalysisContext& context);

}  // namespace defectoscope
