#include "synthesis/bulk_normal.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace defectoscope {
namespace {

std::vector<float> draw(std::uint64_t seed, std::uint64_t stream, Index row, std::size_t count) {
  std::vector<float> values(count);
  fill_normal(seed, stream, row, values);
  return values;
}

TEST(BulkNormal, MomentsAreThoseOfAStandardNormal) {
  const std::vector<float> values = draw(1, 2, 3, 1 << 20);
  double moments[5] = {};
  for (const float x : values)
    for (int k = 1; k <= 4; ++k) moments[k] += std::pow(static_cast<double>(x), k) / (1 << 20);
  EXPECT_NEAR(moments[1], 0, 5 * std::sqrt(1.0 / (1 << 20)));
  EXPECT_NEAR(moments[2], 1, 5 * std::sqrt(2.0 / (1 << 20)));
  EXPECT_NEAR(moments[3], 0, 5 * std::sqrt(15.0 / (1 << 20)));
  EXPECT_NEAR(moments[4], 3, 5 * std::sqrt(96.0 / (1 << 20)));
}

TEST(BulkNormal, DistributionFunctionMatchesAtEveryQuantile) {
  std::vector<float> values = draw(6, 0, 0, 100000);
  std::sort(values.begin(), values.end());
  for (std::size_t i = 0; i < values.size(); i += 500) {
    const double p = 0.5 * std::erfc(-static_cast<double>(values[i]) / std::sqrt(2.0));
    EXPECT_NEAR(p, static_cast<double>(i) / 100000, 0.006);  // Kolmogorov: 1.95 / √N at 0.1 %
  }
}

TEST(BulkNormal, RowsAreIndependentOfEachOtherAndOfTheirLength) {
  EXPECT_EQ(draw(1, 2, 3, 1000), draw(1, 2, 3, 1000));
  const std::vector<float> whole = draw(1, 2, 3, 1000), part = draw(1, 2, 3, 137);
  EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin()));
  for (const std::vector<float>& other : {draw(2, 2, 3, 1000), draw(1, 3, 3, 1000), draw(1, 2, 4, 1000)}) {
    double product = 0;
    for (std::size_t i = 0; i < whole.size(); ++i) product += static_cast<double>(whole[i] * other[i]);
    EXPECT_LT(std::abs(product) / std::sqrt(1000.0), 4.5);
  }
}

}  // namespace
}  // namespace defectoscope
