#pragma once

#include <vector>

#include "base/index.h"

namespace defectoscope {

struct ScanResult;

/// The layers (1-based, ascending) whose F2 the paper leaves unquantized: all explosion and decay layers that
/// the scan found.
std::vector<Index> found_layers(const ScanResult& scan);

}  // namespace defectoscope
