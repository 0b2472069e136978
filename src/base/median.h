#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace defectoscope {

/// The middle value, of an even number the upper of the two; 0 of none. Reorders a copy: O(n).
template <typename T>
T median(std::vector<T> values) {
  if (values.empty()) return T{};
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

}  // namespace defectoscope
