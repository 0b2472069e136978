#pragma once

#include <cstdint>

#include "forward/transformer.h"

namespace defectoscope {

/// Random embeddings that no model has learned, for comparison with those it has.
class EmbeddingDraws {
 public:
  /// `paper_parity`: Gaussian directions of the table's mean norm, as the authors draw them. Otherwise a
  /// random combination of 64 entries about the table's mean, Σ g_i (e_i − mean) / √64 + mean with g_i
  /// normal: its mean and covariance are the table's, its distribution close to Gaussian. The table is what
  /// the model's first layer sees of a first token (positions and embedding norms included). One pass over
  /// the table.
  EmbeddingDraws(const Transformer& transformer, bool paper_parity, std::uint64_t seed);

  /// Draws first .. first + out.rows() − 1 into out [n, d]; each depends on its number alone.
  void draw(Index first, MatrixView out) const;

 private:
  const Transformer& transformer_;
  bool paper_parity_;
  std::uint64_t seed_;
  std::vector<double> mean_;  ///< [d]
  double mean_norm_ = 0;
};

}  // namespace defectoscope
