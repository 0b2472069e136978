#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "analysis/scan_result.h"

namespace defectoscope {

/// Draws figures/<name>.{svg,pdf,png} below `out` with gnuplot: norm-landscape, singular-angle,
/// decay-eigenvalue. Returns one sentence for each figure that could not be made (no gnuplot, nothing to
/// draw).
std::vector<std::string> write_figures(const ScanResult& result, const std::filesystem::path& out);

}  // namespace defectoscope
