#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tensor/matrix.h"

namespace defectoscope {

/// Unit rows in one byte a value, finer near zero: q = round(127 · sign(x) √(|x| / max|row|)), and back
/// x ∝ sign(q) q², made unit again. Turns a row by about half a degree, by 1.3 degrees at worst where a few
/// entries outweigh the rest (d = 4096). A zero row stays zero.
std::vector<std::int8_t> pack_rows(ConstMatrixView rows);
Matrix unpack_rows(std::span<const std::int8_t> packed, Index rows, Index cols);

/// Rows made unit in f64, zero rows left alone.
void make_rows_unit(MatrixView rows);

}  // namespace defectoscope
