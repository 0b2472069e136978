#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"

namespace defectoscope {
namespace {

TEST(Bf16, EveryValueSurvivesTheRoundTrip) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = bf16_to_f32(static_cast<std::uint16_t>(bits));
    if (!std::isnan(value)) {
      EXPECT_EQ(f32_to_bf16(value), bits);
    }
  }
}

TEST(F16, EveryValueSurvivesTheRoundTripAndAgreesWithTheCompilers) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = f16_to_f32(half);
    if (std::isnan(value)) continue;
    EXPECT_EQ(f32_to_f16(value), half);
#ifdef __FLT16_MANT_DIG__
    EXPECT_EQ(value, static_cast<float>(std::bit_cast<_Float16>(half)));
#endif
  }
}

TEST(F16, RoundsToNearestEvenAndOverflowsToInfinity) {
  EXPECT_EQ(f32_to_f16(1.0f + 0x1.0p-11f), 0x3c00);      // tie to even
  EXPECT_EQ(f32_to_f16(1.0f + 3 * 0x1.0p-11f), 0x3c02);  // tie to even
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);               // rounds past the largest
  EXPECT_EQ(f32_to_f16(65519.0f), 0x7bff);
  EXPECT_EQ(f32_to_f16(-0x1.0p-25f), 0x8000);  // tie to even zero
  EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(std::numeric_limits<float>::quiet_NaN()))));
}

TEST(Bf16, RoundsToNearestEvenAndKeepsNaN) {
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f808000u)), 0x3f80);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f818000u)), 0x3f82);
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0x7f800001u)))));
}

TEST(WeightMatrix, TransposeMovesEveryElementInEveryDtype) {
  Matrix values(37, 70);
  for (Index r = 0; r < 37; ++r)
    for (Index c = 0; c < 70; ++c) values(r, c) = static_cast<float>(r * 2 + c % 2);
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const WeightMatrix turned = transposed(make_weight_matrix(values, dtype));
    ASSERT_EQ(turned.rows, 70);
    for (Index r = 0; r < 37; ++r)
      for (Index c = 0; c < 70; ++c) ASSERT_EQ(turned.at(c, r), static_cast<double>(values(r, c)));
  }
}

TEST(WeightMatrix, SliceSharesMemory) {
  Matrix values(4, 3);
  values(2, 1) = 5;
  const WeightMatrix all = make_weight_matrix(values);
  const WeightMatrix slice = all.slice_rows(2, 2);
  EXPECT_EQ(slice.at(0, 1), 5.0);
  EXPECT_EQ(slice.data, all.row_data(2));
}

TEST(AsWeightMatrix, RefusesOtherRanksAndIntegers) {
  const float data[2] = {1, 2};
  Tensor tensor{"t", DType::kF32, {2}, reinterpret_cast<const std::byte*>(data), nullptr};
  EXPECT_THROW(as_weight_matrix(tensor), Error);
  tensor.shape = {1, 2};
  EXPECT_EQ(as_weight_matrix(tensor).cols, 2);
  tensor.dtype = DType::kI32;
  EXPECT_THROW(as_weight_matrix(tensor), Error);
}

TEST(Tensor, OfNothingIsNoValues) {
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16})
    EXPECT_TRUE(to_f32(Tensor{"nothing", type, {0, 4}, nullptr, nullptr}).empty());
}

}  // namespace
}  // namespace defectoscope
