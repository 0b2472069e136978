#include "kernels/sign_bits.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstdlib>

#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/sign_bits.cc"
#include <hwy/foreach_target.h>
// Highway's order: foreach_target.h first.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace defectoscope {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// a_words, b_words: of one plane.
int farthest_from_half_impl(const std::uint64_t* a, std::size_t a_words, const std::uint64_t* b,
                            std::size_t b_words, std::size_t planes) {
  const int bits = 128 * static_cast<int>(planes);
  int farthest = 0;
#if HWY_TARGET == HWY_SCALAR
  const std::size_t whole = 0;
#else
  const hn::ScalableTag<std::uint64_t> d;
  const hn::RebindToSigned<hn::Repartition<std::uint32_t, decltype(d)> > narrow;
  const std::size_t lanes = hn::Lanes(d), whole = a_words / lanes * lanes;
  // In pairs of 32 bits, whose upper ones are zero throughout.
  const auto half = hn::BitCast(narrow, hn::Set(d, static_cast<std::uint64_t>(bits)));
  auto most = hn::Zero(narrow);
  for (std::size_t k = 0; k < b_words; k += kSignWords)
    for (std::size_t i = 0; i < whole; i += lanes) {
      auto ones = hn::Zero(d);
      for (std::size_t p = 0; p < planes; ++p) {
        const auto row = hn::LoadDup128(d, b + p * b_words + k);
        ones = hn::Add(ones, hn::PopulationCount(hn::Xor(hn::LoadU(d, a + p * a_words + i), row)));
      }
      const auto twice = hn::ShiftLeft<1>(hn::Add(ones, hn::Shuffle01(ones)));
      most = hn::Max(most, hn::Abs(hn::Sub(hn::BitCast(narrow, twice), half)));
    }
  farthest = static_cast<int>(hn::GetLane(hn::MaxOfLanes(narrow, most)));
#endif
  for (std::size_t k = 0; k < b_words; k += kSignWords)
    for (std::size_t i = whole; i < a_words; i += kSignWords) {
      int ones = 0;
      for (std::size_t p = 0; p < planes; ++p)
        for (std::size_t w = 0; w < kSignWords; ++w)
          ones += std::popcount(a[p * a_words + i + w] ^ b[p * b_words + k + w]);
      farthest = std::max(farthest, std::abs(2 * ones - bits));
    }
  return farthest;
}

}  // namespace HWY_NAMESPACE
}  // namespace defectoscope
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace defectoscope {

HWY_EXPORT(farthest_from_half_impl);

int farthest_from_half(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b,
                       std::size_t planes) {
  assert(a.size() % (planes * kSignWords) == 0 && b.size() % (planes * kSignWords) == 0);
  return HWY_DYNAMIC_DISPATCH(farthest_from_half_impl)(a.data(), a.size() / planes, b.data(),
                                                       b.size() / planes, planes);
}

}  // namespace defectoscope
#endif  // HWY_ONCE
