#pragma once

#include <gtest/gtest.h>

#include "kernels/targets.h"
// targets.h first: it says which instruction sets are compiled.
#include <hwy/highway.h>

#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "base/parallel.h"
#include "tensor/tensor.h"

namespace defectoscope::testing {

constexpr double kEps = 0x1p-24;  ///< half an ulp of 1 in f32

/// body() once under every instruction set that was compiled and this machine has.
template <typename Body>
void on_every_target(Body body) {
  std::int64_t todo = hwy::SupportedTargets() & HWY_TARGETS;
  ASSERT_NE(todo, 0);
  while (todo != 0) {
    const std::int64_t target = todo & -todo;
    todo &= ~target;
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(target);
    const ::testing::ScopedTrace trace(__FILE__, __LINE__, hwy::TargetName(target));
    body();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

/// compute() → vector of floats, under 1, 2 and 4 threads; returns the first after checking that the others
/// are the same bytes.
template <typename Compute>
std::vector<float> same_at_any_thread_count(Compute compute) {
  const int before = thread_count();
  set_thread_count(1);
  const std::vector<float> first = compute();
  for (const int threads : {2, 4}) {
    set_thread_count(threads);
    const std::vector<float> other = compute();
    EXPECT_EQ(first.size(), other.size());
    if (first.empty()) continue;
    EXPECT_EQ(std::memcmp(first.data(), other.data(), first.size() * sizeof(float)), 0)
        << threads << " threads";
  }
  set_thread_count(before);
  return first;
}

inline std::vector<float> to_vector(ConstMatrixView view) {
  std::vector<float> values;
  for (Index r = 0; r < view.rows(); ++r) values.insert(values.end(), view.row(r).begin(), view.row(r).end());
  return values;
}

inline Matrix random_matrix(Index rows, Index cols, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  Matrix result(rows, cols);
  for (Index i = 0; i < rows * cols; ++i) result.data()[i] = normal(generator);
  return result;
}

/// Random weights whose rows are `padding` elements further apart than they are long (the gap is NaN) and
/// that start `shift` bytes past an aligned address.
inline WeightMatrix random_weight(DType dtype, Index rows, Index cols, Index padding, Index shift,
                                  unsigned seed) {
  const Index stride = cols + padding;
  const Matrix values = random_matrix(rows, stride, seed);
  Matrix gapped = values;
  for (Index r = 0; r < rows; ++r)
    for (Index c = cols; c < stride; ++c) gapped(r, c) = std::numeric_limits<float>::quiet_NaN();
  // The last row ends with its last value, so that a read past it leaves the allocation.
  const Index count = rows == 0 ? 0 : (rows - 1) * stride + cols;
  const Index bytes = count * dtype_size(dtype);
  std::vector<std::byte> converted(static_cast<std::size_t>(bytes));
  const std::shared_ptr<std::byte[]> memory(new std::byte[static_cast<std::size_t>(bytes + shift)]);
  if (count > 0) {
    convert_from_f32(dtype, gapped.data(), count, converted.data());
    std::memcpy(memory.get() + shift, converted.data(), converted.size());
  }
  return {"test.weight", dtype, rows, cols, stride, memory.get() + shift, memory};
}

}  // namespace defectoscope::testing
