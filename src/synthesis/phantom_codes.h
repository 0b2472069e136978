#pragma once

#include <cstdint>
#include <vector>

#include "base/index.h"

namespace defectoscope {

/// A ±1 code of `length` channels for each vocabulary entry, with as many +1 as −1, so that it survives
/// LayerNorm's centring. Two codes agree in at most `largest_product()` channels more than they differ in, so
/// that a token that attends another does not look as if it attended itself: ensured up to 8,192 entries,
/// beyond that true of all but one pair in 10⁸.
class TokenCodes {
 public:
  /// `length` even, at most 128. Up to 8,192 entries O(count²) popcounts.
  TokenCodes(Index count, Index length, std::uint64_t seed);

  Index length() const { return length_; }
  /// +1 or −1.
  int sign(Index token, Index channel) const;
  /// Bound on the inner product of two different codes.
  Index largest_product() const { return largest_product_; }

 private:
  struct Bits {
    std::uint64_t low = 0, high = 0;
  };
  Index length_;
  Index largest_product_;
  std::vector<Bits> bits_;
};

}  // namespace defectoscope
