#include "lineage/shared_tokens.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/pointwise.h"

namespace defectoscope {
namespace {

constexpr double kClip = 3;

}  // namespace

SharedHashes::SharedHashes(const std::vector<std::uint64_t>& x, const std::vector<std::uint64_t>& y) {
  std::size_t i = 0, k = 0;
  while (i < x.size() && k < y.size()) {
    if (x[i] == y[k]) {
      a.push_back(static_cast<Index>(i++));
      b.push_back(static_cast<Index>(k++));
    } else if (x[i] < y[k]) {
      ++i;
    } else {
      ++k;
    }
  }
}

SharedTokens::SharedTokens(const Signature& x, const Signature& y)
    : SharedHashes(x.token_hashes, y.token_hashes),
      dimension(std::min({x.token_dimension, y.token_dimension, static_cast<double>(size() - 1)})) {}

Matrix shared_columns(const Matrix& rows, const std::vector<Index>& chosen) {
  Matrix out(rows.rows(), std::ssize(chosen));
  for (Index r = 0; r < rows.rows(); ++r) {
    const auto row = out.row(r);
    for (std::size_t i = 0; i < chosen.size(); ++i) row[i] = rows(r, chosen[i]);
    const double mean = std::accumulate(row.begin(), row.end(), 0.0) / static_cast<double>(row.size());
    for (float& x : row) x = static_cast<float>(x - mean);
    const auto limit = static_cast<float>(kClip * norm(row) / std::sqrt(static_cast<double>(row.size())));
    for (float& x : row) x = std::clamp(x, -limit, limit);
  }
  return out;
}

}  // namespace defectoscope
