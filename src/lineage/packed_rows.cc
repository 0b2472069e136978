#include "lineage/packed_rows.h"

#include <algorithm>
#include <cmath>

#include "kernels/pointwise.h"

namespace defectoscope {

std::vector<std::int8_t> pack_rows(ConstMatrixView rows) {
  std::vector<std::int8_t> packed;
  packed.reserve(static_cast<std::size_t>(rows.rows() * rows.cols()));
  for (Index r = 0; r < rows.rows(); ++r) {
    float largest = 0;
    for (const float x : rows.row(r)) largest = std::max(largest, std::abs(x));
    for (const float x : rows.row(r)) {
      const float root = largest > 0 ? std::sqrt(std::abs(x) / largest) : 0.0f;
      packed.push_back(static_cast<std::int8_t>(std::lround(127 * std::copysign(root, x))));
    }
  }
  return packed;
}

Matrix unpack_rows(std::span<const std::int8_t> packed, Index rows, Index cols) {
  Matrix out(rows, cols);
  for (std::size_t i = 0; i < packed.size(); ++i) {
    const auto root = static_cast<float>(packed[i]);
    out.data()[i] = root * std::abs(root);
  }
  make_rows_unit(out);
  return out;
}

void make_rows_unit(MatrixView rows) {
  for (Index r = 0; r < rows.rows(); ++r) {
    const double length = norm(rows.row(r));
    if (length > 0)
      for (float& x : rows.row(r)) x = static_cast<float>(x / length);
  }
}

}  // namespace defectoscope
