#include "spectral/eigen.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "base/error.h"
#include "base/parallel.h"
#include "spectral/test_matrices.h"

namespace defectoscope {
namespace {

/// Noise plus an eigenpair: A = value · x xᵀ + noise · G / √n.
DoubleMatrix planted(Index n, double value, double noise, const DoubleMatrix& x) {
  DoubleMatrix a = random_block(n, n, 11, 0);
  for (Index r = 0; r < n; ++r)
    for (Index c = 0; c < n; ++c)
      a(r, c) = noise * a(r, c) / std::sqrt(static_cast<double>(n)) + value * x(0, r) * x(0, c);
  return a;
}

double true_residual(const DoubleMatrix& a, const EigenPair& pair) {
  double sum = 0;
  for (Index r = 0; r < a.rows(); ++r) {
    std::complex<double> y = 0;
    for (Index c = 0; c < a.cols(); ++c) {
      const auto i = static_cast<std::size_t>(c);
      y += a(r, c) * std::complex<double>(pair.re[i], pair.im[i]);
    }
    const auto i = static_cast<std::size_t>(r);
    sum += std::norm(y - pair.value * std::complex<double>(pair.re[i], pair.im[i]));
  }
  return std::sqrt(sum);
}

const EigenPair& nearest_by_angle(const std::vector<EigenPair>& pairs, std::span<const double> d) {
  return *std::ranges::min_element(pairs, {}, [&](const EigenPair& p) { return span_angle_degrees(p, d); });
}

TEST(DenseEigenpairs, SatisfyTheirEquationAndLapacksNormalization) {
  const DoubleMatrix a = random_block(50, 50, 12, 0);
  const std::vector<EigenPair> pairs = dense_eigenpairs(a);
  ASSERT_EQ(pairs.size(), 50u);
  std::complex<double> trace = 0;
  double diagonal = 0;
  for (Index i = 0; i < 50; ++i) diagonal += a(i, i);
  for (const EigenPair& pair : pairs) {
    trace += pair.value;
    EXPECT_LT(pair.residual, 1e-12);
    EXPECT_NEAR(pair.residual, true_residual(a, pair), 1e-12);
    double square = 0, most = 0, imaginary_of_most = 1;
    for (std::size_t j = 0; j < 50; ++j) {
      const double size = std::hypot(pair.re[j], pair.im[j]);
      square += size * size;
      if (size > most) most = size, imaginary_of_most = pair.im[j];
    }
    EXPECT_NEAR(square, 1, 1e-12);
    EXPECT_NEAR(imaginary_of_most, 0, 1e-15);
  }
  EXPECT_NEAR(trace.real(), diagonal, 1e-10);
  EXPECT_NEAR(trace.imag(), 0, 1e-10);
}

TEST(NearestEigenpair, FindsAPlantedOneAsLapackDoes) {
  const DoubleMatrix x = random_orthonormal(2, 200, 13);
  const DoubleMatrix a = planted(200, -7.2, 0.5, x);
  // Start 20° off.
  std::vector<double> d(200);
  for (Index i = 0; i < 200; ++i)
    d[static_cast<std::size_t>(i)] = 3 * (std::cos(0.35) * x(0, i) + std::sin(0.35) * x(1, i));
  const EigenPair found = nearest_eigenpair(DenseOperator(a), d, {.measure_condition = true});
  const std::vector<EigenPair> all = dense_eigenpairs(a);
  const EigenPair& exact = nearest_by_angle(all, d);
  EXPECT_TRUE(found.certified);
  EXPECT_LE(found.passes, 80);
  EXPECT_NEAR(found.value.real(), exact.value.real(), 1e-3);
  EXPECT_EQ(found.value.imag(), 0);
  EXPECT_NEAR(found.residual, true_residual(a, found), 2e-6);
  EXPECT_LE(found.residual, 1e-4 * 7.2);
  EXPECT_LT(acute_angle_degrees(found.re, exact.re), 0.01);
  EXPECT_GE(dot(found.re, d), 0);
  ASSERT_TRUE(found.condition.has_value());
  // Independent: the left eigenvector is an eigenvector of the transpose.
  DoubleMatrix at(200, 200);
  for (Index r = 0; r < 200; ++r)
    for (Index c = 0; c < 200; ++c) at(r, c) = a(c, r);
  const std::vector<EigenPair> left_pairs = dense_eigenpairs(at);
  const EigenPair& left = *std::ranges::min_element(
      left_pairs, {}, [&](const EigenPair& p) { return std::abs(p.value - exact.value); });
  EXPECT_NEAR(*found.condition, 1 / std::abs(dot(left.re, exact.re)), 1e-4);
}

TEST(NearestEigenpair, FindsAComplexPairWithItsPlane) {
  // Rotation by 40° times 3 in the plane of x0, x1, small noise elsewhere.
  const Index n = 150;
  const DoubleMatrix x = random_orthonormal(2, n, 14);
  DoubleMatrix a = random_block(n, n, 15, 0);
  const double c = 3 * std::cos(0.7), s = 3 * std::sin(0.7);
  for (Index r = 0; r < n; ++r)
    for (Index k = 0; k < n; ++k)
      a(r, k) = 0.02 * a(r, k) + c * (x(0, r) * x(0, k) + x(1, r) * x(1, k)) +
                s * (x(1, r) * x(0, k) - x(0, r) * x(1, k));
  const EigenPair found = nearest_eigenpair(DenseOperator(a), x.row(0), {});
  const std::vector<EigenPair> all = dense_eigenpairs(a);
  const EigenPair& exact = nearest_by_angle(all, x.row(0));
  EXPECT_TRUE(found.certified);
  EXPECT_NEAR(std::abs(found.value.imag()), std::abs(exact.value.imag()), 1e-3);
  EXPECT_NEAR(found.value.real(), exact.value.real(), 1e-3);
  EXPECT_NEAR(span_angle_degrees(found, x.row(0)), span_angle_degrees(exact, x.row(0)), 0.01);
  EXPECT_NEAR(real_part_angle_degrees(found, x.row(0)), real_part_angle_degrees(exact, x.row(0)), 0.05);
  EXPECT_NEAR(found.residual, true_residual(a, found), 2e-6);
}

TEST(NearestEigenpair, IsExactOnInvariantSpaces) {
  DoubleMatrix a(40, 40);
  for (Index i = 0; i < 40; ++i) a(i, i) = static_cast<double>(i);
  std::vector<double> d(40, 0.0);
  d[7] = 2;
  const EigenPair found = nearest_eigenpair(DenseOperator(a), d, {});
  EXPECT_TRUE(found.certified);
  EXPECT_EQ(found.value, std::complex<double>(7, 0));
  EXPECT_EQ(found.residual, 0);
  EXPECT_EQ(found.passes, 2);
  const EigenPair zero = nearest_eigenpair(DenseOperator(DoubleMatrix(40, 40)), d, {});
  EXPECT_TRUE(zero.certified);
  EXPECT_EQ(zero.value, std::complex<double>(0, 0));
}

TEST(NearestEigenpair, DoesNotCertifyWhatItHasNotFound) {
  const DoubleMatrix a = random_block(400, 400, 16, 0);
  const DoubleMatrix d = random_block(1, 400, 17, 0);
  const EigenPair found = nearest_eigenpair(DenseOperator(a), d.row(0), {.max_passes = 12});
  EXPECT_FALSE(found.certified);
  EXPECT_LE(found.passes, 12);
  EXPECT_GT(found.residual, 1e-4 * std::abs(found.value));
  EXPECT_NEAR(found.residual, true_residual(a, found), 1e-4);
}

TEST(NearestEigenpair, ConvergesThroughRestarts) {
  const DoubleMatrix x = random_orthonormal(2, 300, 18);
  const DoubleMatrix a = planted(300, 1.3, 1.0, x);
  const EigenPair found = nearest_eigenpair(DenseOperator(a), x.row(0), {.max_passes = 400, .max_basis = 25});
  EXPECT_TRUE(found.certified);
  EXPECT_GT(found.passes, 26);
  EXPECT_LE(true_residual(a, found), 1.1e-4 * std::abs(found.value));
}

TEST(NearestEigenpair, GivesTheSameBytesAtAnyThreadCount) {
  const DoubleMatrix x = random_orthonormal(2, 300, 19);
  const DenseOperator op(planted(300, 4, 1.0, x));
  const int before = thread_count();
  set_thread_count(1);
  const EigenPair one = nearest_eigenpair(op, x.row(0), {});
  const std::vector<EigenPair> dense_one = dense_eigenpairs(op.matrix());
  for (const int threads : {2, 4}) {
    set_thread_count(threads);
    const EigenPair many = nearest_eigenpair(op, x.row(0), {});
    EXPECT_EQ(one.value, many.value);
    EXPECT_EQ(one.re, many.re);
    EXPECT_EQ(one.residual, many.residual);
    const std::vector<EigenPair> dense_many = dense_eigenpairs(op.matrix());
    for (std::size_t i = 0; i < 300; ++i) ASSERT_EQ(dense_one[i].re, dense_many[i].re);
  }
  set_thread_count(before);
}

TEST(NearestEigenpair, RefusesNaNAndAnswersAZeroStart) {
  DoubleMatrix a(10, 10);
  a(2, 2) = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> ones(10, 1.0), zeros(10, 0.0);
  EXPECT_THROW(nearest_eigenpair(DenseOperator(a), ones, {}), Error);
  EXPECT_FALSE(nearest_eigenpair(DenseOperator(DoubleMatrix(10, 10)), zeros, {}).certified);
}

TEST(RayleighQuotient, SplitsAVectorsImageIntoAlongAndAcross) {
  DoubleMatrix a(3, 3);
  a(0, 0) = -2, a(1, 0) = 3, a(2, 0) = 4;
  const std::vector<double> d = {10, 0, 0};
  const RayleighQuotient quotient = rayleigh_quotient(DenseOperator(a), d);
  EXPECT_DOUBLE_EQ(quotient.value, -2);
  EXPECT_DOUBLE_EQ(quotient.residual, 5);
}

TEST(Angles, AreAccurateAtBothEnds) {
  const std::vector<double> x = {1, 1e-9, 0}, y = {-2, 0, 0}, z = {0, 0, 5}, none = {0, 0, 0};
  EXPECT_NEAR(acute_angle_degrees(x, y), 1e-9 * 180 / std::numbers::pi, 1e-16);
  EXPECT_DOUBLE_EQ(acute_angle_degrees(x, z), 90);
  EXPECT_DOUBLE_EQ(acute_angle_degrees(x, none), 90);
  EXPECT_DOUBLE_EQ(acute_angle_degrees(none, x), 90);
  EigenPair pair;
  pair.re = {1, 0, 0};
  pair.im = {0, 1, 0};
  const std::vector<double> in_plane = {1, 1, 0};
  EXPECT_NEAR(real_part_angle_degrees(pair, in_plane), 45, 1e-12);
  EXPECT_NEAR(span_angle_degrees(pair, in_plane), 0, 1e-12);
}

}  // namespace
}  // namespace defectoscope
