#pragma once

#include <string>

#include "analysis/scan_result.h"

namespace defectoscope {

/// A layer's report as a journal record and back, to the last bit; throws std::out_of_range on a record that
/// is too short.
std::string to_record(const LayerReport& report);
LayerReport layer_from_record(const std::string& record);

}  // namespace defectoscope
