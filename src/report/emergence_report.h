#pragma once

#include <span>

#include "analysis/emergence.h"
#include "report/analysis_report.h"

namespace defectoscope {

/// What `emergence` shows (the paper's figure 13 and section 4). `first`: the scan the page's head describes.
AnalysisOutput emergence_output(const ScanResult& first, std::span<const EmergenceRow> rows);

}  // namespace defectoscope
