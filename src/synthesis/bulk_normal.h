#pragma once

#include <cstdint>
#include <span>

#include "base/index.h"

namespace defectoscope {

/// Standard normal numbers in bulk: out[i] depends on (seed, stream, row, i) alone, so rows may be drawn in
/// any order and by any thread. 16 random bits a number, mapped through the normal quantile function (65,536
/// values, |x| < 4.3); about a nanosecond each.
void fill_normal(std::uint64_t seed, std::uint64_t stream, Index row, std::span<float> out);

}  // namespace defectoscope
