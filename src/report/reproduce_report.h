#pragma once

#include "report/analysis_report.h"
#include "reproduce/reproduce.h"

namespace defectoscope {

/// What `reproduce` shows: published, ours in both ways, the differences.
AnalysisOutput reproduce_output(const ScanResult& described, const Reproduction& reproduction);

}  // namespace defectoscope
