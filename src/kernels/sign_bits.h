#pragma once

#include <cstdint>
#include <span>

namespace defectoscope {

/// Words of a row in one plane. A row of 128 · planes bits lies in planes [planes, rows, 2].
inline constexpr std::size_t kSignWords = 2;

/// max over rows i of a, k of b of |2 h − bits|, h the bits in which the two differ; 0 without rows. Signs of
/// random projections of two directions at angle θ differ in about the share θ/π, so that 0 says nothing, and
/// all bits that the directions are the same line. Cost: a few vector instructions a pair and plane.
int farthest_from_half(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b,
                       std::size_t planes);

}  // namespace defectoscope
