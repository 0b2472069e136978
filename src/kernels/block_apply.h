#pragma once

#include <span>
#include <vector>

#include "tensor/matrix.h"
#include "tensor/tensor.h"

namespace defectoscope {

/// y[b, r] = sum_c W[r, c] x[b, c] for a small block of vectors, one vector a row; x [k, cols], y [k, rows].
/// Memory-bound: W is read once, widened in registers (f32, f16, bf16). Deterministic at any thread count:
/// one tile of rows is one task. f32 accumulation in a fixed order. Any k, in groups of 8; up to 4 run at
/// memory speed, 8 at the FMA units' (some 100 GFLOP/s a Zen 4 core). Any stride and alignment; y must not
/// overlap x.
void block_apply(const WeightMatrix& weight, ConstMatrixView x, MatrixView y);

/// y[b, c] = sum_r W[r, c] x[b, r]; x [k, rows], y [k, cols]. One task is 1024 columns of 2048 rows; the sums
/// of row tiles are added in their order. Needs k · cols floats for each 2048 rows.
void block_apply_transpose(const WeightMatrix& weight, ConstMatrixView x, MatrixView y);

/// Per row r of gate W1 and up W3 (both [ffn, d]), in one pass and f64 sums over the diagonal metric s (d
/// values): v = Σ s_c W1[r,c]², c = Σ s_c W1[r,c] W3[r,c], v3 = Σ s_c W3[r,c]², and the plain dot products
/// with `g` (d values): g·w1, g·w3. Any output may be empty.
struct RowMoments {
  std::vector<double> v, c, v3, dot1, dot3;
};
RowMoments row_moments(const WeightMatrix& w1, const WeightMatrix* w3, std::span<const double> metric,
                       std::span<const double> vector);

}  // namespace defectoscope
