#pragma once

#include <string>

#include "report/section.h"

namespace defectoscope {

/// RFC 4180 text with a header line and LF line ends; numbers as short as they read back the same; what does
/// not exist is empty.
std::string table_csv(const Table& table);
/// The same of a chart's values: one row a point (series, x, y, label) or a cell of the grid (x, y, value).
std::string chart_csv(const Chart& chart);

}  // namespace defectoscope
