#include "analysis/pairwise_angle.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "base/parallel.h"
#include "base/random.h"

namespace defectoscope {
namespace {

Matrix random_vectors(Index count, Index size, double spread) {
  Random random(5);
  Matrix vectors(count, size);
  for (Index i = 0; i < count; ++i)
    for (Index c = 0; c < size; ++c)
      vectors(i, c) = static_cast<float>(100 * ((c == 3 ? 1 : 0) + spread * random.normal()));
  return vectors;
}

VectorReader reader_of(const Matrix& vectors) {
  return [&](Index first, Index count, MatrixView out) {
    for (Index i = 0; i < count; ++i)
      std::copy_n(vectors.row(first + i).begin(), out.cols(), out.row(i).begin());
  };
}

double brute_force(const Matrix& vectors) {
  long double sum = 0;
  for (Index i = 0; i < vectors.rows(); ++i)
    for (Index j = 0; j < i; ++j) {
      long double dot = 0, x = 0, y = 0;
      for (Index c = 0; c < vectors.cols(); ++c) {
        dot += static_cast<long double>(vectors(i, c)) * vectors(j, c);
        x += static_cast<long double>(vectors(i, c)) * vectors(i, c);
        y += static_cast<long double>(vectors(j, c)) * vectors(j, c);
      }
      sum += std::acos(std::min(1.0L, dot / std::sqrt(x * y)));
    }
  return static_cast<double>(sum / (0.5L * static_cast<long double>(vectors.rows() * (vectors.rows() - 1))) *
                             180 / std::numbers::pi_v<long double>);
}

TEST(PairwiseAngle, EqualsTheMeanOverAllPairs) {
  for (const Index count : {2, 3, 511, 512, 513, 1100}) {
    const Matrix vectors = random_vectors(count, 17, 0.02);
    EXPECT_NEAR(mean_pairwise_angle_degrees(count, 17, reader_of(vectors)), brute_force(vectors), 1e-9)
        << count;
  }
}

TEST(PairwiseAngle, LeavesSelfPairsOut) {
  Matrix vectors(2, 2);
  vectors(0, 0) = 3;
  vectors(1, 1) = 5;
  EXPECT_NEAR(mean_pairwise_angle_degrees(2, 2, reader_of(vectors)), 90, 1e-12);
  EXPECT_EQ(mean_pairwise_angle_degrees(1, 2, reader_of(vectors)), 0);
}

TEST(PairwiseAngle, OfEqualVectorsIsZero) {
  Matrix vectors(600, 33);
  for (Index i = 0; i < 600; ++i)
    for (Index c = 0; c < 33; ++c) vectors(i, c) = 0.1f * static_cast<float>(c + 1);
  EXPECT_LT(mean_pairwise_angle_degrees(600, 33, reader_of(vectors)), 1e-5);
}

TEST(PairwiseAngle, IsTheSameToTheLastBitAtAnyThreadCount) {
  const Matrix vectors = random_vectors(1500, 40, 0.1);
  const int before = thread_count();
  std::vector<double> results;
  for (const int threads : {1, 2, 4}) {
    set_thread_count(threads);
    results.push_back(mean_pairwise_angle_degrees(1500, 40, reader_of(vectors)));
  }
  set_thread_count(before);
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

}  // namespace
}  // namespace defectoscope
