#pragma once

#include <vector>

#include "lineage/signature.h"

namespace defectoscope {

/// Columns of the tokens that two signatures have in common.
struct SharedTokens {
  std::vector<Index> a, b;
  double dimension = 0;  ///< of their shadows E·u, at most; of the law of chance
  SharedTokens(const Signature& x, const Signature& y);
  Index size() const { return static_cast<Index>(a.size()); }
};

/// The columns named, each row without its mean and with entries beyond three times its rms brought back to
/// that: the same few tokens (newline, '.') stick out in unrelated models.
Matrix shared_columns(const Matrix& rows, const std::vector<Index>& chosen);

}  // namespace defectoscope
