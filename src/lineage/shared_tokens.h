#pragma once

#include <cstdint>
#include <vector>

#include "lineage/signature.h"

namespace defectoscope {

/// Fewer shared tokens than these are not compared.
inline constexpr Index kLeastSharedTokens = 32;

/// Positions of the hashes that two ascending lists have in common.
struct SharedHashes {
  std::vector<Index> a, b;
  SharedHashes(const std::vector<std::uint64_t>& x, const std::vector<std::uint64_t>& y);
  Index size() const { return static_cast<Index>(a.size()); }
};

/// Columns of the tokens that two signatures have in common.
struct SharedTokens : SharedHashes {
  double dimension = 0;  ///< of their shadows E·u, at most; of the law of chance
  SharedTokens(const Signature& x, const Signature& y);
};

/// The columns named, each row without its mean and with entries beyond three times its rms brought back to
/// that: the same few tokens (newline, '.') stick out in unrelated models.
Matrix shared_columns(const Matrix& rows, const std::vector<Index>& chosen);

}  // namespace defectoscope
