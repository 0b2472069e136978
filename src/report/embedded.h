#pragma once

#include <string_view>

namespace defectoscope {

/// Files that are part of the program.
std::string_view embedded_chart_library();  ///< plotly.js, the partial bundle pinned in web/package-lock.json
std::string_view embedded_page();           ///< page/report.html

}  // namespace defectoscope
