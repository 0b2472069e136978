#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "analysis/scan_result.h"
#include "report/analysis_report.h"
#include "report/run_info.h"

namespace defectoscope {

/// results.json's text (schema docs/schema/scan.schema.json, "defectoscope.scan/1"). What does not exist is
/// null.
std::string scan_json(const ScanResult& result);
/// The summary a newcomer reads in a terminal; `out` is where the files are, empty where there are none.
std::string scan_summary(const ScanResult& result, const std::string& out);
/// directions.safetensors: left.<layer>, right.<layer> [d] f32, `empirical` where there is one.
void write_directions(const ScanResult& result, const std::filesystem::path& path);
/// All files of a scan into folder `out`: results.json, directions.safetensors, run.json and what
/// write_sections writes; with `analyses` their <name>.json too, and their sections in the same report, in
/// place of the scan's own of the same id. Each file appears whole or not at all. Returns what could not be
/// made and why (gnuplot missing), one sentence each. Throws Error(kResources) where the folder cannot be
/// written.
std::vector<std::string> write_scan_report(const ScanResult& result, const RunInfo& run,
                                           const std::filesystem::path& out,
                                           const std::vector<AnalysisOutput>& analyses = {});

}  // namespace defectoscope
