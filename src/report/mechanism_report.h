#pragma once

#include "analysis/mechanism.h"
#include "report/analysis_report.h"

namespace defectoscope {

/// What `mechanism` shows (the paper's figure 2 and section 3, for one model).
AnalysisOutput mechanism_output(const ScanResult& scan, const Mechanism& mechanism);

}  // namespace defectoscope
