#include "analysis/pairwise_angle.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "base/parallel.h"
#include "base/progress.h"

namespace defectoscope {
namespace {

constexpr Index kBlock = 512;

DoubleMatrix unit_vectors(Index first, Index count, Index size, const VectorReader& read) {
  Matrix raw(count, size);
  read(first, count, raw);
  DoubleMatrix units(count, size);
  for (Index i = 0; i < count; ++i) {
    double square = 0;
    for (const float value : raw.row(i)) square += static_cast<double>(value) * value;
    const double scale = square > 0 ? 1 / std::sqrt(square) : 0;
    for (Index c = 0; c < size; ++c) units(i, c) = raw(i, c) * scale;
  }
  return units;
}

/// Sum of angles between rows of x and y, radians; of pairs i < j only where they are the same block.
double sum_of_angles(const DoubleMatrix& x, const DoubleMatrix& y, bool same) {
  DoubleMatrix cosines(x.rows(), y.rows());
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<blasint>(x.rows()),
              static_cast<blasint>(y.rows()), static_cast<blasint>(x.cols()), 1.0, x.data(),
              static_cast<blasint>(x.cols()), y.data(), static_cast<blasint>(y.cols()), 0.0, cosines.data(),
              static_cast<blasint>(y.rows()));
  double sum = 0;
  for (Index i = 0; i < x.rows(); ++i)
    for (Index j = same ? i + 1 : 0; j < y.rows(); ++j)
      sum += std::acos(std::clamp(cosines(i, j), -1.0, 1.0));
  return sum;
}

}  // namespace

double mean_pairwise_angle_degrees(Index count, Index size, const VectorReader& read) {
  if (count < 2) return 0;
  const Index blocks = (count + kBlock - 1) / kBlock;
  const auto block_of = [&](Index b) {
    return unit_vectors(b * kBlock, std::min(kBlock, count - b * kBlock), size, read);
  };
  Progress progress("Comparing high-norm states", blocks * (blocks + 1) / 2);
  double total = 0;
  for (Index i = 0; i < blocks; ++i) {
    const DoubleMatrix left = block_of(i);
    std::vector<double> sums(static_cast<std::size_t>(blocks - i));
    parallel_for(blocks - i, [&](Index j) {
      sums[static_cast<std::size_t>(j)] =
          j == 0 ? sum_of_angles(left, left, true) : sum_of_angles(left, block_of(i + j), false);
    });
    for (const double sum : sums) total += sum;
    progress.advance(blocks - i);
  }
  const double pairs = 0.5 * static_cast<double>(count) * static_cast<double>(count - 1);
  return total / pairs * 180 / std::numbers::pi;
}

}  // namespace defectoscope
