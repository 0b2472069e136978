#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "report/section.h"

namespace defectoscope {

/// gnuplot's commands that draw the chart, for any terminal.
std::string chart_script(const Chart& chart);

/// Draws figures/<id>.{svg,pdf,png} below `out` for every chart. Returns one sentence for each that could not
/// be made. Throws Error(kResources) where the folder cannot be written.
std::vector<std::string> write_figures(const std::vector<Section>& sections,
                                       const std::filesystem::path& out);

}  // namespace defectoscope
