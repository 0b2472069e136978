#pragma once

#include <cstdint>
#include <span>

namespace defectoscope {

/// Rows of 128 bits, two words each. Signs of random projections of two directions at angle θ differ in
/// about 128 θ/π places, so that 64 says nothing and both ends say that the directions are the same line.
inline constexpr std::size_t kSignWords = 2;

/// max over rows i of a, k of b of |2 h − 128|, h the bits in which the two differ; 0 without rows. Cost: a
/// few vector instructions a pair.
int farthest_from_half(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b);

}  // namespace defectoscope
