#include "synthesis/phantom_codes.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <numeric>

#include "base/random.h"

namespace defectoscope {

TokenCodes::TokenCodes(Index count, Index length, std::uint64_t seed) : length_(length) {
  assert(length % 2 == 0 && length <= 128);
  // Checked: so many that a candidate is rarely thrown away. Unchecked: so many that it hardly ever happens.
  const bool checked = count <= 8192;
  const double sigmas = checked ? std::sqrt(2 * std::log(static_cast<double>(count)) + 2) : 5.6;
  largest_product_ = static_cast<Index>(std::ceil(sigmas * std::sqrt(static_cast<double>(length))));
  largest_product_ = std::min(largest_product_, length - length / 8);
  const int fewest_differences = static_cast<int>((length - largest_product_ + 1) / 2);

  Random random(seed, stream_of("phantom codes"));
  std::vector<Index> order(static_cast<std::size_t>(length));
  std::iota(order.begin(), order.end(), 0);
  bits_.reserve(static_cast<std::size_t>(count));
  while (static_cast<Index>(bits_.size()) < count) {
    for (std::size_t i = order.size() - 1; i > 0; --i) std::swap(order[i], order[random.below(i + 1)]);
    Bits code;
    for (Index i = 0; i < length / 2; ++i) {
      const Index channel = order[static_cast<std::size_t>(i)];
      (channel < 64 ? code.low : code.high) |= std::uint64_t{1} << (channel % 64);
    }
    const bool too_near =
        checked && std::any_of(bits_.begin(), bits_.end(), [&](const Bits& other) {
          return std::popcount(code.low ^ other.low) + std::popcount(code.high ^ other.high) <
                 fewest_differences;
        });
    if (!too_near) bits_.push_back(code);
  }
}

int TokenCodes::sign(Index token, Index channel) const {
  const Bits& code = bits_[static_cast<std::size_t>(token)];
  return (((channel < 64 ? code.low : code.high) >> (channel % 64)) & 1u) != 0 ? 1 : -1;
}

}  // namespace defectoscope
