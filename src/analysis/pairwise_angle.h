#pragma once

#include <functional>

#include "tensor/matrix.h"

namespace defectoscope {

/// Fills rows [0, count) of `out` [count, d] with vectors first .. first + count - 1.
using VectorReader = std::function<void(Index first, Index count, MatrixView out)>;

/// Mean over all pairs i < j of the angle between vectors i and j, degrees; 0 for fewer than two. Zero
/// vectors do not occur. Exact up to rounding (f64: 1e-6 degrees where vectors coincide). Deterministic.
/// Blocks of 512: n² d flops by dgemm, 4 · 512 · d doubles of memory per thread.
double mean_pairwise_angle_degrees(Index count, Index size, const VectorReader& read);

}  // namespace defectoscope
