#include "kernels/matmul_int8.h"

#include <cassert>
#include <cstring>
#include <stdexcept>

#include "base/single_thread.h"
#include "kernels/matmul.h"
#include "kernels/onednn_isa.h"
#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul_int8.cc"
#include <hwy/foreach_target.h>
// Highway's order: foreach_target.h first.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace defectoscope {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D16 = hn::ScalableTag<std::int16_t>;
using D8 = hn::Rebind<std::int8_t, D16>;
using D32 = hn::RepartitionToWide<D16>;
constexpr Index kLanes = static_cast<Index>(hn::MaxLanes(D16()));

/// R rows of A times C rows of B. Products of two bytes and sums of two such fit into what pmaddwd and its
/// kin keep, so nothing saturates.
template <int R, int C>
HWY_INLINE void block(Index k, const std::int8_t* HWY_RESTRICT a, Index a_stride,
                      const std::int8_t* HWY_RESTRICT b, Index b_stride, std::int32_t* HWY_RESTRICT c,
                      Index c_stride) {
  const D16 d16;
  const D8 d8;
  const D32 d32;
  hn::Vec<D32> low[R][C], high[R][C];
  for (int r = 0; r < R; ++r)
    for (int s = 0; s < C; ++s) low[r][s] = high[r][s] = hn::Zero(d32);
  const auto step = [&](const auto& load) HWY_ATTR {
    hn::Vec<D16> right[C];
    for (int s = 0; s < C; ++s) right[s] = load(b + s * b_stride);
    for (int r = 0; r < R; ++r) {
      const auto left = load(a + r * a_stride);
      for (int s = 0; s < C; ++s)
        low[r][s] = hn::ReorderWidenMulAccumulate(d32, left, right[s], low[r][s], high[r][s]);
    }
  };
  Index i = 0;
  for (; i + kLanes <= k; i += kLanes)
    step([&](const std::int8_t* p) HWY_ATTR { return hn::PromoteTo(d16, hn::LoadU(d8, p + i)); });
  if (i < k)
    step([&](const std::int8_t* p) HWY_ATTR {
      std::int8_t padded[static_cast<std::size_t>(kLanes)] = {};
      std::memcpy(padded, p + i, static_cast<std::size_t>(k - i));
      return hn::PromoteTo(d16, hn::LoadU(d8, padded));
    });
  for (int r = 0; r < R; ++r)
    for (int s = 0; s < C; ++s)
      c[r * c_stride + s] = hn::GetLane(hn::SumOfLanes(d32, hn::Add(low[r][s], high[r][s])));
}

template <int R>
void rows_of_a(Index n, Index k, const std::int8_t* a, Index a_stride, const std::int8_t* b, Index b_stride,
               std::int32_t* c, Index c_stride) {
  Index j = 0;
  for (; j + 2 <= n; j += 2) block<R, 2>(k, a, a_stride, b + j * b_stride, b_stride, c + j, c_stride);
  if (j < n) block<R, 1>(k, a, a_stride, b + j * b_stride, b_stride, c + j, c_stride);
}

void portable_impl(Index m, Index n, Index k, const std::int8_t* a, Index a_stride, const std::int8_t* b,
                   Index b_stride, std::int32_t* c, Index c_stride) {
  Index i = 0;
  for (; i + 4 <= m; i += 4)
    rows_of_a<4>(n, k, a + i * a_stride, a_stride, b, b_stride, c + i * c_stride, c_stride);
  for (; i < m; ++i) rows_of_a<1>(n, k, a + i * a_stride, a_stride, b, b_stride, c + i * c_stride, c_stride);
}

}  // namespace HWY_NAMESPACE
}  // namespace defectoscope
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace defectoscope {

HWY_EXPORT(portable_impl);

bool has_native_int8() {
  static const bool native =
      onednn_has(dnnl::cpu_isa::avx512_core_vnni) || onednn_has(dnnl::cpu_isa::avx2_vnni);
  return native;
}

void matmul_int8_portable(Index m, Index n, Index k, const std::int8_t* a, Index a_stride,
                          const std::int8_t* b, Index b_stride, std::int32_t* c, Index c_stride) {
  HWY_DYNAMIC_DISPATCH(portable_impl)(m, n, k, a, a_stride, b, b_stride, c, c_stride);
}

void matmul_int8(Index m, Index n, Index k, const std::int8_t* a, Index a_stride, const std::int8_t* b,
                 Index b_stride, std::int32_t* c, Index c_stride) {
  assert(k <= kMostInt8Inputs);
  if (!has_native_int8() || k == 0)
    return matmul_int8_portable(m, n, k, a, a_stride, b, b_stride, c, c_stride);
  if (matmul_int8_amx(m, n, k, a, a_stride, b, b_stride, c, c_stride)) return;
  // Not dnnl::matmul, whose kernel for VNNI takes the sums through f32: beyond 2^24 they would be rounded.
  const SingleThreadScope single_thread;
  const std::int32_t no_offset = 0;
  if (dnnl_gemm_s8s8s32('N', 'T', 'F', m, n, k, 1.0f, a, a_stride, 0, b, b_stride, 0, 0.0f, c, c_stride,
                        &no_offset) != dnnl_success)
    throw std::runtime_error("oneDNN refuses an 8-bit matrix product");
}

}  // namespace defectoscope
#endif  // HWY_ONCE
