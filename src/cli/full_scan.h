#pragma once

#include <vector>

#include "cli/analysis_command.h"

namespace defectoscope {

AnalysisCommand census_analysis();
AnalysisCommand trigger_analysis();
AnalysisCommand predictions_analysis();
AnalysisCommand ablate_analysis();

/// Every analysis that `scan --full` runs after the scan, each with its own defaults.
std::vector<AnalysisCommand> full_scan_analyses();

/// Runs them, or takes finished ones from the journal.
std::vector<AnalysisOutput> run_full_scan(const AnalysisContext& context);

// Each subcommand's analysis with its defaults.
AnalysisCommand norms_analysis();
AnalysisCommand high_norm_analysis();
AnalysisCommand singular_analysis();
AnalysisCommand decay_analysis();
AnalysisCommand mechanism_analysis();

}  // namespace defectoscope
