#include "kernels/gemm_int8.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "kernels/matmul_int8.h"
#include "kernels/test_support.h"

namespace defectoscope {
namespace {

using testing::on_every_target, testing::random_matrix, testing::random_weight;
using testing::same_at_any_thread_count, testing::to_vector;

/// Integers in ±127, the extremes often: sums of neighbouring products then leave 16 bits.
std::vector<std::int8_t> random_integers(Index count, unsigned seed) {
  std::mt19937 generator(seed);
  std::vector<std::int8_t> values(static_cast<std::size_t>(count));
  for (std::int8_t& value : values) {
    const auto draw = static_cast<int>(generator() % 511);
    value = static_cast<std::int8_t>(draw > 254 ? (draw % 2 == 0 ? 127 : -127) : draw - 127);
  }
  return values;
}

std::vector<std::int32_t> plain_product(Index m, Index n, Index k, const std::int8_t* a, Index a_stride,
                                        const std::int8_t* b, Index b_stride) {
  std::vector<std::int32_t> c;
  for (Index i = 0; i < m; ++i)
    for (Index j = 0; j < n; ++j) {
      std::int32_t sum = 0;
      for (Index p = 0; p < k; ++p) sum += std::int32_t{a[i * a_stride + p]} * b[j * b_stride + p];
      c.push_back(sum);
    }
  return c;
}

using Product = void (*)(Index, Index, Index, const std::int8_t*, Index, const std::int8_t*, Index,
                         std::int32_t*, Index);

void expect_exact(Product product, Index m, Index n, Index k) {
  SCOPED_TRACE("m=" + std::to_string(m) + " n=" + std::to_string(n) + " k=" + std::to_string(k));
  const Index a_stride = k + 3, b_stride = k + 1, c_stride = n + 2;
  const auto a = random_integers(m * a_stride, 1);
  const auto b = random_integers(n * b_stride, 2);
  std::vector<std::int32_t> c(static_cast<std::size_t>(m * c_stride), 7);
  product(m, n, k, a.data(), a_stride, b.data(), b_stride, c.data(), c_stride);
  const auto expected = plain_product(m, n, k, a.data(), a_stride, b.data(), b_stride);
  for (Index i = 0; i < m; ++i) {
    for (Index j = 0; j < n; ++j)
      ASSERT_EQ(c[static_cast<std::size_t>(i * c_stride + j)], expected[static_cast<std::size_t>(i * n + j)]);
    EXPECT_EQ(c[static_cast<std::size_t>(i * c_stride + n)], 7) << "beyond the row";
  }
}

TEST(MatmulInt8, IsExactUnderEveryInstructionSet) {
  on_every_target([] {
    for (const Product product : {matmul_int8, matmul_int8_portable})
      for (const Index m : {1, 3, 4, 9})
        for (const auto& [n, k] :
             {std::pair<Index, Index>{1, 1}, {2, 16}, {3, 31}, {5, 64}, {8, 200}, {2, 1031}, {70, 5000}})
          expect_exact(product, m, n, k);
  });
}

TEST(MatmulInt8, LongestSumOfLargestProductsFits) {
  const std::vector<std::int8_t> ones(kMostInt8Inputs, 127);
  std::vector<std::int8_t> minus(kMostInt8Inputs, -127);
  on_every_target([&] {
    for (const Product product : {matmul_int8, matmul_int8_portable}) {
      std::int32_t sum = 0;
      product(1, 1, kMostInt8Inputs, ones.data(), kMostInt8Inputs, minus.data(), kMostInt8Inputs, &sum, 1);
      EXPECT_EQ(sum, -127 * 127 * kMostInt8Inputs);
    }
  });
}

TEST(MatmulInt8, SumsBeyondWhatF32HoldsAreExactInBlocksToo) {
  constexpr Index kRows = 80, kInputs = 4096;
  std::mt19937 generator(3);
  std::vector<std::int8_t> a(kRows * kInputs);
  for (std::int8_t& value : a) value = static_cast<std::int8_t>(127 - generator() % 8);
  const auto expected = plain_product(kRows, kRows, kInputs, a.data(), kInputs, a.data(), kInputs);
  ASSERT_TRUE(std::ranges::any_of(expected, [](std::int32_t sum) {
    return sum > (1 << 24) && static_cast<std::int32_t>(static_cast<float>(sum)) != sum;
  }));
  std::vector<std::int32_t> c(kRows * kRows);
  matmul_int8(kRows, kRows, kInputs, a.data(), kInputs, a.data(), kInputs, c.data(), kRows);
  EXPECT_EQ(c, expected);
}

TEST(LinearInt8, IsTheIntegersTimesTheirStepsPlusTheBias) {
  const WeightMatrix w = random_weight(DType::kBF16, 301, 96, 0, 0, 3);
  const Matrix x = random_matrix(70, 96, 4);
  const Matrix bias_values = random_matrix(1, 301, 5);
  std::vector<float> row_steps;
  for (Index r = 0; r < 70; ++r) row_steps.push_back(0.03f + 0.001f * static_cast<float>(r));
  for (const bool per_output : {false, true})
    for (const bool with_bias : {false, true}) {
      const Int8Weight weight = quantize_weight(w, 127, per_output);
      ASSERT_EQ(weight.steps.size(), per_output ? 301u : 1u);
      const Int8Rows rows = quantize_rows(x, row_steps, 127);
      const std::span<const float> bias = with_bias ? bias_values.row(0) : std::span<const float>();
      const auto got = same_at_any_thread_count([&] {
        Matrix y(70, 301);
        linear_int8(weight, bias, rows, y);
        return to_vector(y);
      });
      for (Index r = 0; r < 70; ++r)
        for (Index o = 0; o < 301; ++o) {
          std::int64_t sum = 0;
          for (Index i = 0; i < 96; ++i) sum += std::int64_t{rows.integers(r, i)} * weight.integers(o, i);
          const double step = double{weight.steps[per_output ? static_cast<std::size_t>(o) : 0]};
          const double product =
              static_cast<double>(sum) * step * double{row_steps[static_cast<std::size_t>(r)]};
          const double expected = product + (with_bias ? double{bias_values(0, o)} : 0);
          ASSERT_NEAR(double{got[static_cast<std::size_t>(r * 301 + o)]}, expected,
                      3e-7 * (std::abs(product) + std::abs(expected)));
        }
    }
}

TEST(LinearInt8, WeightsKeepWithinHalfAStepOfThemselvesAndTheLargestIsTheLimit) {
  const WeightMatrix w = random_weight(DType::kF16, 40, 50, 3, 0, 8);
  for (const int limit : {1, 7, 127}) {
    const Int8Weight weight = quantize_weight(w, limit, false);
    int largest = 0;
    for (Index r = 0; r < w.rows; ++r)
      for (Index c = 0; c < w.cols; ++c) {
        const int integer = weight.integers(r, c);
        largest = std::max(largest, std::abs(integer));
        EXPECT_LE(std::abs(integer * double{weight.steps[0]} - w.at(r, c)), 0.5001 * double{weight.steps[0]});
      }
    EXPECT_EQ(largest, limit);
  }
  EXPECT_FLOAT_EQ(quantize_weight(w, 127, false, 12.7f).steps[0], 0.1f) << "the maximum of a larger whole";
}

TEST(LinearInt8, WeightsThatAreNotFiniteAreRefusedByName) {
  Matrix values = random_matrix(3, 40, 1);
  values(2, 33) = std::numeric_limits<float>::quiet_NaN();
  for (const bool per_output : {false, true}) {
    try {
      quantize_weight(make_weight_matrix(values, "model.bad.weight"), 127, per_output);
      FAIL();
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("model.bad.weight"), std::string::npos);
    }
  }
}

TEST(LinearInt8, NothingIsDoneForNoRowsAndNoInputsLeaveTheBias) {
  const Int8Weight weight = quantize_weight(random_weight(DType::kF32, 3, 0, 0, 0, 6), 127, false);
  const float bias[] = {1, 2, 3};
  Matrix y(2, 3), none(0, 3);
  linear_int8(weight, bias, quantize_rows(Matrix(2, 0), std::array{1.0f, 1.0f}, 127), y);
  EXPECT_EQ(to_vector(y), (std::vector<float>{1, 2, 3, 1, 2, 3}));
  linear_int8(weight, bias, quantize_rows(Matrix(0, 0), {}, 127), none);
}

}  // namespace
}  // namespace defectoscope
