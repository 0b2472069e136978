#pragma once

#include <span>

#include "tensor/matrix.h"

namespace defectoscope {

/// Which channels of a head turn together.
enum class RotaryLayout {
  kHalf,        ///< i and i + rotary_dim / 2 (LLaMA, GPT-NeoX)
  kInterleaved  ///< 2i and 2i + 1 (GPT-J)
};

/// Cosines and sines of position · inverse_frequency; both [positions, rotary_dim / 2].
struct RotaryTable {
  Matrix cosine, sine;
  Index rotary_dim() const { return 2 * cosine.cols(); }
  Index positions() const { return cosine.rows(); }
};

/// The table for positions [0, positions). Frequencies and angles are rounded to f32 as in the programs the
/// models were trained with; that moves far positions by more than an f32 cosine's own error. `magnitude`
/// multiplies both (YaRN's attention factor).
RotaryTable make_rotary_table(std::span<const double> inverse_frequencies, Index positions,
                              double magnitude = 1);

/// Turns, in place, channels [first, first + rotary_dim) of each of `heads` heads of head_dim channels in
/// every row of x [rows, heads * head_dim or more]; row i stands at positions[i], which the table must hold.
void rotary(MatrixView x, Index heads, Index head_dim, const RotaryTable& table,
            std::span<const Index> positions, RotaryLayout layout, Index first = 0);

}  // namespace defectoscope
