#pragma once

#include <functional>
#include <string>

#include "cli/scan_session.h"
#include "forward/transformer.h"
#include "report/analysis_report.h"

namespace defectoscope {

/// What an analysis may look at.
struct AnalysisContext {
  const Model& model;
  const Tokenizer& tokenizer;
  const Transformer& transformer;  ///< in options.compute
  const ScanOptions& options;
  const ScanResult& scan;  ///< as far as the analysis needs it
  ScanJournal& journal;
};
using Analysis = std::function<AnalysisOutput(const AnalysisContext&)>;

/// A subcommand made of one analysis: options of a scan, the scan as far as it is needed, the analysis, its
/// report. More options may be added to what is returned.
struct AnalysisCommand {
  std::string name;         ///< of subcommand, result file and output folder
  std::string description;  ///< one clause for --help
  ScanParts needs = ScanParts::kStates;
  Analysis run;
};
CLI::App* add_analysis(CLI::App& app, AnalysisCommand command);

}  // namespace defectoscope
