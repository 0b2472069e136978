#include "spectral/singular.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/parallel.h"
#include "spectral/eigen.h"
#include "spectral/test_matrices.h"

namespace defectoscope {
namespace {

using Spectrum = std::function<double(Index)>;

/// Counts the blocks it is asked to apply.
class CountingOperator : public LinearOperator {
 public:
  explicit CountingOperator(const LinearOperator& a) : a_(a) {}
  Index rows() const override { return a_.rows(); }
  Index cols() const override { return a_.cols(); }
  void apply(ConstMatrixView x, MatrixView y) const override { ++calls, a_.apply(x, y); }
  void apply_transpose(ConstMatrixView x, MatrixView y) const override { ++calls, a_.apply_transpose(x, y); }
  mutable Index calls = 0;

 private:
  const LinearOperator& a_;
};

std::vector<double> widened(std::span<const float> x) { return {x.begin(), x.end()}; }

/// The iterative result against LAPACK's: value, both vectors within the reported bound, residual honest.
void expect_agrees_with_lapack(const DoubleMatrix& a, double ratio) {
  const DenseOperator op(a);
  const DenseSvd exact = dense_svd(a);
  const SingularTriplets found = leading_singular(op, {});
  ASSERT_EQ(found.values.size(), 2u);
  EXPECT_TRUE(found.converged);
  EXPECT_LE(found.residuals[0], 1e-5);
  EXPECT_NEAR(found.values[0], exact.values[0], 1e-6 * exact.values[0]);
  EXPECT_NEAR(found.values[1], exact.values[1], 1e-2 * exact.values[0]);
  const double left = acute_angle_degrees(widened(found.left.row(0)), exact.left.row(0));
  const double right = acute_angle_degrees(widened(found.right.row(0)), exact.right.row(0));
  EXPECT_LE(left, found.angle_bound_degrees);
  EXPECT_LE(right, found.angle_bound_degrees);
  if (ratio >= 1.05) {
    EXPECT_LT(left, 0.01);
    EXPECT_LT(right, 0.01);
    EXPECT_LT(found.angle_bound_degrees, 1.0);
  }
}

TEST(LeadingSingular, AgreesWithLapackOnRandomMatrices) {
  for (const auto& [rows, cols] : {std::pair<Index, Index>{60, 60}, {90, 40}, {33, 120}})
    expect_agrees_with_lapack(random_block(rows, cols, 5, 0), 1);
}

TEST(LeadingSingular, AgreesWithLapackOnGradedMatrices) {
  expect_agrees_with_lapack(matrix_with_singular_values(
                                80, 70, [](Index i) { return std::pow(0.8, static_cast<double>(i)); }, 1),
                            1.25);
  expect_agrees_with_lapack(matrix_with_singular_values(
                                80, 80, [](Index i) { return std::pow(1e-3, static_cast<double>(i)); }, 2),
                            1e3);
}

TEST(LeadingSingular, IsWithinAHundredthOfADegreeDownToAGapOfFivePercent) {
  for (const double ratio : {1.05, 1.1, 1.2, 2.0, 50.0})
    for (const std::uint64_t seed : {1u, 2u})
      expect_agrees_with_lapack(
          matrix_with_singular_values(
              300, 300,
              [ratio](Index i) { return i == 0 ? ratio : 1 - 0.9 * static_cast<double>(i - 1) / 199; }, seed),
          ratio);
}

TEST(LeadingSingular, NeedsAtMost24PassesAtAGapOfTwentyPercent) {
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    // A spectrum that fills [0, 1] evenly right under the leading value: slower than what weights show.
    const DenseOperator op(matrix_with_singular_values(
        320, 320, [](Index i) { return i == 0 ? 1.2 : 1 - static_cast<double>(i - 1) / 319; }, seed));
    const SingularTriplets found = leading_singular(op, {.seed = seed});
    EXPECT_TRUE(found.converged);
    EXPECT_LE(found.passes, 24);
    EXPECT_LE(found.residuals[0], 1e-5);
  }
}

TEST(LeadingSingular, CountsThePassesItMakes) {
  const DenseOperator op(random_block(100, 80, 3, 0));
  const CountingOperator counting(op);
  const SingularTriplets found = leading_singular(counting, {.max_passes = 12});
  EXPECT_EQ(found.passes, counting.calls);
  EXPECT_LE(found.passes, 12);
}

TEST(LeadingSingular, ReportsItsResidualAndDoesNotClaimConvergenceWhenPassesRunOut) {
  const DoubleMatrix a =
      matrix_with_singular_values(300, 300, [](Index i) { return 1 - 1e-3 * static_cast<double>(i); }, 4);
  const DenseOperator op(a);
  const SingularTriplets found = leading_singular(op, {.max_passes = 8});
  EXPECT_FALSE(found.converged);
  EXPECT_EQ(found.passes, 8);
  EXPECT_GT(found.residuals[0], 1e-5);
  EXPECT_EQ(found.angle_bound_degrees, 90);
  // The residual is what the matrix itself says.
  double sum = 0;
  for (Index c = 0; c < 300; ++c) {
    double entry = -found.values[0] * static_cast<double>(found.right(0, c));
    for (Index r = 0; r < 300; ++r) entry += a(r, c) * static_cast<double>(found.left(0, r));
    sum += entry * entry;
  }
  EXPECT_NEAR(std::sqrt(sum) / found.values[0], found.residuals[0], 1e-6);
}

TEST(LeadingSingular, FindsClusteredValuesAndDoesNotBoundWhatTheGapCannotResolve) {
  const DoubleMatrix a = matrix_with_singular_values(120, 120, [](Index i) { return i < 3 ? 1.0 : 0.3; }, 5);
  const SingularTriplets found = leading_singular(DenseOperator(a), {.count = 3});
  EXPECT_TRUE(found.converged);
  for (const double value : found.values) EXPECT_NEAR(value, 1.0, 1e-6);
  EXPECT_EQ(found.angle_bound_degrees, 90);
  EXPECT_NEAR(dot(widened(found.left.row(0)), widened(found.left.row(1))), 0, 1e-5);
}

TEST(LeadingSingular, HandlesRankDeficientMatrices) {
  const DoubleMatrix a = matrix_with_singular_values(60, 50, [](Index i) { return i == 0 ? 7.0 : 0.0; }, 6);
  const SingularTriplets found = leading_singular(DenseOperator(a), {});
  EXPECT_TRUE(found.converged);
  EXPECT_NEAR(found.values[0], 7, 1e-5);
  EXPECT_NEAR(found.values[1], 0, 1e-5);
  EXPECT_LT(found.angle_bound_degrees, 0.001);
  EXPECT_NEAR(norm(widened(found.left.row(1))), 1, 1e-6);
  EXPECT_NEAR(norm(widened(found.right.row(1))), 1, 1e-6);
}

TEST(LeadingSingular, HandlesZeroTinyAndIdentityMatrices) {
  for (const Index n : {1, 5, 40}) {
    const SingularTriplets zero = leading_singular(DenseOperator(DoubleMatrix(n, n)), {});
    EXPECT_TRUE(zero.converged);
    EXPECT_EQ(static_cast<Index>(zero.values.size()), std::min<Index>(2, n));
    EXPECT_EQ(zero.values[0], 0);
    EXPECT_EQ(zero.angle_bound_degrees, 90);
    EXPECT_NEAR(norm(widened(zero.left.row(0))), 1, 1e-6);
    DoubleMatrix identity(n, n);
    for (Index i = 0; i < n; ++i) identity(i, i) = 1;
    EXPECT_NEAR(leading_singular(DenseOperator(identity), {}).values[0], 1, 1e-6);
  }
  DoubleMatrix one(1, 1);
  one(0, 0) = -3;
  const SingularTriplets found = leading_singular(DenseOperator(one), {});
  EXPECT_NEAR(found.values[0], 3, 1e-6);
  EXPECT_FLOAT_EQ(found.left(0, 0) * found.right(0, 0), -1);
}

TEST(LeadingSingular, ConvergesThroughRestartsWhenMemoryIsShort) {
  const DoubleMatrix a = matrix_with_singular_values(
      400, 400, [](Index i) { return i == 0 ? 1.02 : 1 - static_cast<double>(i) / 400; }, 7);
  const SingularTriplets found =
      leading_singular(DenseOperator(a), {.tolerance = 1e-5, .max_passes = 300, .max_basis = 48});
  EXPECT_TRUE(found.converged);
  EXPECT_NEAR(found.values[0], 1.02, 1e-6);
}

TEST(LeadingSingular, GivesTheSameBytesAtAnyThreadCount) {
  const DenseOperator op(random_block(700, 500, 8, 0));
  const int before = thread_count();
  set_thread_count(1);
  const SingularTriplets one = leading_singular(op, {});
  for (const int threads : {2, 4}) {
    set_thread_count(threads);
    const SingularTriplets many = leading_singular(op, {});
    EXPECT_EQ(one.values, many.values);
    EXPECT_EQ(one.residuals, many.residuals);
    EXPECT_EQ(0, std::memcmp(one.left.data(), many.left.data(), 2 * 700 * sizeof(float)));
    EXPECT_EQ(0, std::memcmp(one.right.data(), many.right.data(), 2 * 500 * sizeof(float)));
  }
  set_thread_count(before);
}

TEST(LeadingSingular, RefusesAnOperatorThatGivesNaN) {
  DoubleMatrix a(20, 20);
  a(3, 4) = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(leading_singular(DenseOperator(a), {}), Error);
  EXPECT_THROW(dense_svd(a), Error);
}

TEST(DenseSvd, RebuildsTheMatrix) {
  const DoubleMatrix a = random_block(30, 20, 9, 0);
  const DenseSvd svd = dense_svd(a);
  ASSERT_EQ(svd.values.size(), 20u);
  for (Index r = 0; r < 30; ++r)
    for (Index c = 0; c < 20; ++c) {
      double sum = 0;
      for (Index i = 0; i < 20; ++i)
        sum += svd.values[static_cast<std::size_t>(i)] * svd.left(i, r) * svd.right(i, c);
      EXPECT_NEAR(sum, a(r, c), 1e-12);
    }
}

TEST(Form, GivesTheMatrixOfAnOperatorAndOfItsTranspose) {
  const DoubleMatrix a = random_block(45, 70, 10, 0);
  const DenseOperator op(a);
  const DoubleMatrix formed = form(op), transposed = form(TransposedOperator(op));
  for (Index r = 0; r < 45; ++r)
    for (Index c = 0; c < 70; ++c) {
      EXPECT_EQ(formed(r, c), static_cast<double>(static_cast<float>(a(r, c))));
      EXPECT_EQ(transposed(c, r), formed(r, c));
    }
}

}  // namespace
}  // namespace defectoscope
