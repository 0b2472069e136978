#pragma once

#include <cstdint>

namespace defectoscope {

/// Sizes, counts and positions of tensors; signed, so that differences are safe.
using Index = std::int64_t;

}  // namespace defectoscope
