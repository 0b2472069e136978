#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "report/section.h"

namespace defectoscope {

/// A value of every vocabulary entry over its id, for a scatter chart: all of them up to 2048, else of each
/// of 1024 stretches of ids the largest and the smallest, so that no peak is lost and a page stays small.
Series vocabulary_series(const std::string& name, std::span<const float> values,
                         const std::function<std::string(std::int32_t)>& token_name);

/// Which entries those are.
std::vector<std::size_t> visible_entries(std::span<const float> values);

/// Values rounded to six digits, as JSON.
std::vector<double> six_digits(std::span<const float> values);

}  // namespace defectoscope
