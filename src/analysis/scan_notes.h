#pragma once

#include "analysis/scan.h"

namespace defectoscope {

/// Sentences a reader must know, from what a finished scan holds; appended to result.notes.
void add_notes(const ScanOptions& options, ScanResult& result);

}  // namespace defectoscope
