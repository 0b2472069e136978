#include "synthesis/bulk_normal.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

namespace defectoscope {
namespace {

constexpr std::size_t kLanes = 16;
using Lanes = std::array<std::uint32_t, kLanes>;

/// Philox 4x32-10 (base/random.h) for kLanes consecutive counters, laid out so that the compiler vectorises.
void philox_lanes(std::uint64_t seed, std::uint64_t stream, std::uint64_t first, std::array<Lanes, 4>& x) {
  for (std::size_t i = 0; i < kLanes; ++i) {
    x[0][i] = static_cast<std::uint32_t>(first + i);
    x[1][i] = static_cast<std::uint32_t>((first + i) >> 32);
    x[2][i] = static_cast<std::uint32_t>(stream);
    x[3][i] = static_cast<std::uint32_t>(stream >> 32);
  }
  auto k0 = static_cast<std::uint32_t>(seed);
  auto k1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    for (std::size_t i = 0; i < kLanes; ++i) {
      const std::uint64_t a = std::uint64_t{0xD2511F53u} * x[0][i];
      const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * x[2][i];
      x[0][i] = static_cast<std::uint32_t>(b >> 32) ^ x[1][i] ^ k0;
      x[1][i] = static_cast<std::uint32_t>(b);
      x[2][i] = static_cast<std::uint32_t>(a >> 32) ^ x[3][i] ^ k1;
      x[3][i] = static_cast<std::uint32_t>(a);
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}

/// x with Φ(x) = p for p < 1/2, by Newton's method on the tail.
double lower_quantile(double p) {
  double x = -std::sqrt(std::max(0.0, -2 * std::log(2 * p)));
  for (int step = 0; step < 60; ++step) {
    const double error = 0.5 * std::erfc(-x / std::numbers::sqrt2) - p;
    const double move = error * std::sqrt(2 * std::numbers::pi) * std::exp(0.5 * x * x);
    x -= std::clamp(move, -0.5, 0.5);
    if (std::abs(move) < 1e-12) break;
  }
  return x;
}

const std::vector<float>& quantiles() {
  static const std::vector<float> table = [] {
    std::vector<float> values(65536);
    for (std::size_t i = 0; i < 32768; ++i) {
      values[i] = static_cast<float>(lower_quantile((static_cast<double>(i) + 0.5) / 65536));
      values[65535 - i] = -values[i];
    }
    return values;
  }();
  return table;
}

}  // namespace

void fill_normal(std::uint64_t seed, std::uint64_t stream, Index row, std::span<float> out) {
  const float* table = quantiles().data();
  constexpr std::size_t kPerCall = kLanes * 8;
  std::array<Lanes, 4> words;
  std::uint64_t counter = static_cast<std::uint64_t>(row) << 32;
  for (std::size_t done = 0; done < out.size(); done += kPerCall, counter += kLanes) {
    philox_lanes(seed, stream, counter, words);
    std::array<float, kPerCall> values;
    for (std::size_t w = 0; w < 4; ++w)
      for (std::size_t i = 0; i < kLanes; ++i) {
        values[(2 * w) * kLanes + i] = table[words[w][i] & 0xffffu];
        values[(2 * w + 1) * kLanes + i] = table[words[w][i] >> 16];
      }
    std::copy_n(values.begin(), std::min(kPerCall, out.size() - done),
                out.begin() + static_cast<std::ptrdiff_t>(done));
  }
}

}  // namespace defectoscope
