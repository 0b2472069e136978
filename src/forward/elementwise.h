#pragma once

#include <optional>

#include "model/model.h"
#include "tensor/matrix.h"

namespace defectoscope {

/// What stands between the matmuls, each one pass over its rows in parallel tiles. Every element or row is
/// computed alone, so results do not depend on tiles or threads.

/// out = norm(x), row by row; a norm that does not exist copies. out may be x.
void apply_norm(const ModelConfig& config, const NormWeights& norm, ConstMatrixView x, MatrixView out);
/// The norm of queries or keys x [rows, heads · head_dim], in place, by the configuration's QkNorm.
void apply_head_norm(const ModelConfig& config, const NormWeights& norm, MatrixView x);
/// states += scale · branch.
void add(ConstMatrixView branch, MatrixView states, double scale = 1);
/// Values to within ± limit; a limit of 0 leaves them.
void clip(MatrixView x, double limit);
/// x = cap · tanh(x / cap); a cap of 0 leaves them.
void soft_cap(MatrixView x, double cap);
/// x *= factor.
void scale(MatrixView x, double factor);
/// x = act(x).
void activate(Activation activation, MatrixView x);
/// gate = act(gate) · (up + offset), both clamped first, as the configuration says.
void activate_gated(const ModelConfig& config, MatrixView gate, ConstMatrixView up);

struct Place {
  Index row = 0;
  Index column = 0;
};
/// The first NaN or infinity.
std::optional<Place> find_non_finite(ConstMatrixView x);

}  // namespace defectoscope
