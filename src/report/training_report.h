#pragma once

#include <span>

#include "analysis/training.h"
#include "report/analysis_report.h"

namespace defectoscope {

/// What `training` shows (the paper's figures 11 and 12). `scans`: one a point.
AnalysisOutput training_output(std::span<const ScanResult> scans, const Training& training);

}  // namespace defectoscope
