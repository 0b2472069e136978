#include "kernels/rotary.h"

#include <cmath>

#include "kernels/test_support.h"

namespace defectoscope {
namespace {

using testing::random_matrix, testing::same_at_any_thread_count, testing::to_vector;

std::vector<double> frequencies(Index rotary_dim) {
  std::vector<double> result;
  for (Index i = 0; i < rotary_dim / 2; ++i)
    result.push_back(std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(rotary_dim)));
  return result;
}

TEST(Rotary, TurnsEachPairByItsAngleAndLeavesTheRest) {
  constexpr Index kHeads = 3, kHeadDim = 16, kRows = 40;
  for (const RotaryLayout layout : {RotaryLayout::kHalf, RotaryLayout::kInterleaved})
    for (const Index rotary_dim : {4, 10, 16}) {
      const std::vector<double> inverse = frequencies(rotary_dim);
      const RotaryTable table = make_rotary_table(inverse, 100);
      ASSERT_EQ(table.rotary_dim(), rotary_dim);
      std::vector<Index> positions;
      for (Index r = 0; r < kRows; ++r) positions.push_back((r * 7) % 100);
      const Matrix input = random_matrix(kRows, kHeads * kHeadDim + 5, 3);
      const std::vector<float> got = same_at_any_thread_count([&] {
        Matrix x = input;
        rotary(x, kHeads, kHeadDim, table, positions, layout);
        return to_vector(x);
      });
      std::vector<double> expected;
      for (const float value : to_vector(input)) expected.push_back(static_cast<double>(value));
      for (Index r = 0; r < kRows; ++r)
        for (Index h = 0; h < kHeads; ++h)
          for (Index i = 0; i < rotary_dim / 2; ++i) {
            const Index base = r * input.cols() + h * kHeadDim;
            const bool half = layout == RotaryLayout::kHalf;
            double& a = expected[static_cast<std::size_t>(base + (half ? i : 2 * i))];
            double& b = expected[static_cast<std::size_t>(base + (half ? i + rotary_dim / 2 : 2 * i + 1))];
            const double angle = static_cast<double>(positions[static_cast<std::size_t>(r)]) *
                                 inverse[static_cast<std::size_t>(i)];
            const double turned = a * std::cos(angle) - b * std::sin(angle);
            b = a * std::sin(angle) + b * std::cos(angle);
            a = turned;
          }
      for (std::size_t i = 0; i < got.size(); ++i)
        EXPECT_NEAR(static_cast<double>(got[i]), expected[i], 4e-5) << i;
    }
}

TEST(Rotary, ScoresDependOnlyOnTheDistance) {
  const RotaryTable table = make_rotary_table(frequencies(32), 300);
  for (const RotaryLayout layout : {RotaryLayout::kHalf, RotaryLayout::kInterleaved}) {
    const auto score = [&](Index query, Index key) {
      Matrix x = random_matrix(2, 32, 5);
      const std::vector<Index> positions = {query, key};
      rotary(x, 1, 32, table, positions, layout);
      double sum = 0;
      for (Index c = 0; c < 32; ++c) sum += static_cast<double>(x(0, c)) * static_cast<double>(x(1, c));
      return sum;
    };
    EXPECT_NEAR(score(10, 3), score(207, 200), 1e-3);
    EXPECT_GT(std::abs(score(10, 3) - score(10, 4)), 1e-2);
  }
}

TEST(Rotary, MagnitudeScalesAndPositionZeroIsLeftAlone) {
  const Matrix input = random_matrix(1, 8, 1);
  const std::vector<Index> start = {0};
  Matrix x = input;
  rotary(x, 2, 4, make_rotary_table(frequencies(4), 1, 2.0), start, RotaryLayout::kHalf);
  for (Index c = 0; c < 8; ++c) EXPECT_EQ(x(0, c), 2 * input(0, c));
}

}  // namespace
}  // namespace defectoscope
