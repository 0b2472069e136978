#include "kernels/quantize.h"

#include <bit>
#include <cmath>
#include <limits>

#include "kernels/test_support.h"

namespace defectoscope {
namespace {

using testing::on_every_target, testing::random_matrix;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(MaxAbs, FindsTheLargestMagnitudeAtEveryPlaceAndLength) {
  on_every_target([] {
    for (const Index length : {1, 2, 15, 16, 17, 40})
      for (Index place = 0; place < length; ++place) {
        Matrix x(1, length);
        for (float& value : x.row(0)) value = -0.5f;
        x(0, place) = place % 2 == 0 ? -3.25f : 3.25f;
        EXPECT_EQ(max_abs(x.row(0)), 3.25f);
        x(0, place) = -kInfinity;
        EXPECT_EQ(max_abs(x.row(0)), kInfinity);
        x(0, place) = -kNan;
        EXPECT_TRUE(std::isnan(max_abs(x.row(0)))) << length << " " << place;
      }
    EXPECT_EQ(max_abs({}), 0);
  });
}

TEST(MaxAbs, ColumnsKeepTheLargestOfAllRows) {
  on_every_target([] {
    Matrix x = random_matrix(9, 37, 1);
    x(4, 36) = kNan;
    std::vector<float> maxima(37, 0.75f);
    raise_column_maxima(x, maxima);
    for (Index c = 0; c < 36; ++c) {
      float expected = 0.75f;
      for (Index r = 0; r < 9; ++r) expected = std::max(expected, std::abs(x(r, c)));
      EXPECT_EQ(maxima[static_cast<std::size_t>(c)], expected);
    }
    EXPECT_TRUE(std::isnan(maxima[36]));
  });
}

TEST(Quantize, RoundsTiesToEvenAndSaturates) {
  on_every_target([] {
    // Each at every place of a vector, so that bodies and tails are seen.
    const std::vector<std::pair<float, int>> cases = {{0.25f, 0},     {0.75f, 2},   {1.25f, 2},   {-0.25f, 0},
                                                      {-0.75f, -2},   {-1.25f, -2}, {63.5f, 127}, {64.f, 127},
                                                      {-1e30f, -127}, {0.2499f, 0}, {0.2501f, 1}};
    for (const auto& [value, expected] : cases)
      for (Index length = 1; length < 20; ++length) {
        const std::vector<float> x(static_cast<std::size_t>(length), value);
        std::vector<std::int8_t> out(x.size());
        quantize_int8(x, 0.5f, 127, out.data());
        for (const std::int8_t got : out) ASSERT_EQ(got, expected) << value;
        std::vector<float> again = x;
        quantize_dequantize(again, 0.5f, 127);
        for (const float got : again) ASSERT_EQ(got, 0.5f * static_cast<float>(expected)) << value;
      }
  });
}

TEST(Quantize, AgreesWithTheFormulaForEveryLimit) {
  const Matrix x = random_matrix(1, 1001, 9);
  on_every_target([&] {
    for (const int limit : {1, 7, 127, 2047, 16383}) {
      const float step = symmetric_step(max_abs(x.row(0)), limit);
      std::vector<float> got(x.row(0).begin(), x.row(0).end());
      quantize_dequantize(got, step, limit);
      for (std::size_t i = 0; i < got.size(); ++i) {
        const float integer = std::nearbyint(x.row(0)[i] / step);
        ASSERT_EQ(got[i], std::clamp(integer, -static_cast<float>(limit), static_cast<float>(limit)) * step);
      }
    }
  });
}

TEST(Quantize, AnAllZeroTensorStaysZero) {
  EXPECT_EQ(symmetric_step(0, 127), 1);
  EXPECT_EQ(symmetric_step(1e-45f, 127), 1) << "a step that would underflow";
  EXPECT_EQ(symmetric_step(254, 127), 2);
}

/// Every finite value of e4m3, by its definition.
std::vector<float> e4m3_values() {
  std::vector<float> values;
  for (int bits = 0; bits < 127; ++bits) {  // 127 is NaN
    const int exponent = bits >> 3, mantissa = bits & 7;
    values.push_back(exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                                   : std::ldexp(1 + static_cast<float>(mantissa) / 8, exponent - 7));
  }
  return values;
}

TEST(Fp8, RoundsToTheNearestOfAllValuesTiesToEven) {
  const std::vector<float> all = e4m3_values();
  EXPECT_EQ(all.back(), 448);
  const auto round = [](float value) {
    quantize_dequantize_e4m3(std::span(&value, 1), 1);
    return value;
  };
  for (std::size_t i = 0; i + 1 < all.size(); ++i) {
    const float low = all[i], high = all[i + 1], middle = (low + high) / 2;
    EXPECT_EQ(round(low), low);
    EXPECT_EQ(round(-low), -low);
    EXPECT_EQ(round(middle), i % 2 == 0 ? low : high);
    EXPECT_EQ(round(std::nextafter(middle, 0.0f)), low);
    EXPECT_EQ(round(std::nextafter(middle, 500.0f)), high);
  }
  EXPECT_EQ(round(449), 448);
  EXPECT_EQ(round(-1e30f), -448);
  float scaled = 3.3f;
  quantize_dequantize_e4m3(std::span(&scaled, 1), 0.5f);
  EXPECT_EQ(scaled, 3.25f);
}

}  // namespace
}  // namespace defectoscope
