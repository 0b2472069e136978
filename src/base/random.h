#pragma once

#include <array>
#include <cstdint>

namespace defectoscope {

/// Philox 4x32-10 (Salmon et al., SC 2011): block `counter` of stream `key`, as four 32-bit words.
/// Any block is had at once, so results do not depend on the order or the threads they are drawn in.
std::array<std::uint32_t, 4> philox(std::uint64_t key, std::uint64_t stream, std::uint64_t counter);

/// A sequence of random numbers, wholly determined by (seed, stream).
class Random {
 public:
  explicit Random(std::uint64_t seed, std::uint64_t stream = 0) : seed_(seed), stream_(stream) {}

  std::uint32_t next_u32();
  std::uint64_t next_u64();
  /// Uniform in [0, 1), 53 bits.
  double uniform();
  /// Uniform integer in [0, bound), without bias; bound > 0.
  std::uint64_t below(std::uint64_t bound);
  /// Standard normal (Box-Muller on two uniforms, one of the pair kept for the next call).
  double normal();

 private:
  std::uint64_t seed_;
  std::uint64_t stream_;
  std::uint64_t counter_ = 0;
  std::array<std::uint32_t, 4> block_{};
  int left_ = 0;
  double spare_ = 0;
  bool has_spare_ = false;
};

/// FNV-1a of a name: turns a tensor's name into a stream number.
std::uint64_t stream_of(const char* name);

}  // namespace defectoscope
