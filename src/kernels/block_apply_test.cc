#include "kernels/block_apply.h"

#include <cmath>

#include "kernels/convert.h"
#include "kernels/test_support.h"

namespace defectoscope {
namespace {

using testing::kEps, testing::on_every_target, testing::random_matrix, testing::random_weight;
using testing::same_at_any_thread_count, testing::to_vector;

constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16};

/// y and Σ|w||x|, in which the error of an f32 sum is measured.
struct Reference {
  DoubleMatrix y, scale;
};

Reference reference(const WeightMatrix& w, ConstMatrixView x, bool transpose) {
  const Index outputs = transpose ? w.cols : w.rows;
  Reference result{DoubleMatrix(x.rows(), outputs), DoubleMatrix(x.rows(), outputs)};
  for (Index r = 0; r < w.rows; ++r)
    for (Index c = 0; c < w.cols; ++c) {
      const double value = w.at(r, c);
      for (Index b = 0; b < x.rows(); ++b) {
        const double product = value * static_cast<double>(x(b, transpose ? r : c));
        result.y(b, transpose ? c : r) += product;
        result.scale(b, transpose ? c : r) += std::abs(product);
      }
    }
  return result;
}

/// Applies into memory with gaps, whose filling must survive.
std::vector<float> apply(const WeightMatrix& w, const Matrix& x, bool transpose) {
  const Index outputs = transpose ? w.cols : w.rows;
  Matrix memory(x.rows(), outputs + 3);
  std::fill_n(memory.data(), memory.rows() * memory.cols(), 7.0f);
  const MatrixView y(memory.data(), x.rows(), outputs, memory.cols());
  transpose ? block_apply_transpose(w, x, y) : block_apply(w, x, y);
  for (Index b = 0; b < x.rows(); ++b)
    for (Index c = outputs; c < memory.cols(); ++c) EXPECT_EQ(memory(b, c), 7.0f);
  return to_vector(y);
}

void expect_accurate(const WeightMatrix& w, const Matrix& x, bool transpose) {
  SCOPED_TRACE(std::string(dtype_name(w.dtype)) + " " + std::to_string(w.rows) + "x" +
               std::to_string(w.cols) + " k=" + std::to_string(x.rows()) + (transpose ? " transposed" : ""));
  const Reference expected = reference(w, x, transpose);
  const std::vector<float> got = same_at_any_thread_count([&] { return apply(w, x, transpose); });
  const auto terms = static_cast<double>(transpose ? w.rows : w.cols);
  double worst = 0;
  for (Index i = 0; i < expected.y.rows() * expected.y.cols(); ++i) {
    const double error =
        std::abs(static_cast<double>(got[static_cast<std::size_t>(i)]) - expected.y.data()[i]);
    worst = std::max(worst, error / (expected.scale.data()[i] + 1e-30) / kEps);
  }
  EXPECT_LE(worst, 4 + std::sqrt(terms));
}

TEST(BlockApply, AgreesWithPlainLoopForEveryTypeSizeStrideAndAlignment) {
  on_every_target([] {
    unsigned seed = 1;
    for (const DType type : kTypes)
      for (const auto& [rows, cols] :
           {std::pair<Index, Index>{1, 1}, {3, 15}, {17, 16}, {70, 129}, {300, 67}})
        for (const Index padding : {0, 5})
          for (const Index shift : {0, 1, 2, 7})
            for (const bool transpose : {false, true}) {
              const WeightMatrix w = random_weight(type, rows, cols, padding, shift, ++seed);
              const Matrix x = random_matrix(3, transpose ? rows : cols, ++seed);
              expect_accurate(w, x, transpose);
            }
  });
}

TEST(BlockApply, TakesFromOneToThirtyTwoVectors) {
  on_every_target([] {
    for (const DType type : kTypes)
      for (Index k = 1; k <= 32; ++k)
        for (const bool transpose : {false, true}) {
          const WeightMatrix w = random_weight(type, 83, 77, 2, 0, 5);
          expect_accurate(w, random_matrix(k, transpose ? w.rows : w.cols, 9), transpose);
        }
  });
}

TEST(BlockApply, SpansManyTilesBothWays) {
  for (const DType type : kTypes)
    for (const bool transpose : {false, true}) {
      const WeightMatrix w = random_weight(type, 4500, 1100, 0, 0, 11);
      expect_accurate(w, random_matrix(9, transpose ? w.rows : w.cols, 12), transpose);
    }
}

TEST(BlockApply, EmptyBlockAndEmptyMatrixDoNothingWrong) {
  const WeightMatrix w = random_weight(DType::kBF16, 8, 8, 0, 0, 1);
  Matrix none(0, 8);
  block_apply(w, none, none);
  block_apply_transpose(w, none, none);
  const WeightMatrix no_columns = random_weight(DType::kF32, 4, 0, 0, 0, 1);
  Matrix y = random_matrix(2, 4, 3);
  block_apply(no_columns, Matrix(2, 0), y);
  for (Index i = 0; i < 8; ++i) EXPECT_EQ(y.data()[i], 0.0f);
}

TEST(BlockApply, KeepsSubnormalHalvesInfinitiesAndNaN) {
  on_every_target([] {
    const std::uint16_t bits[] = {0x0001, 0x83ff, 0x7c00, 0x7e01, 0x3c00, 0x0400};
    for (int i = 0; i < 6; ++i) {
      const WeightMatrix w{"one",  DType::kF16, 1, 1, 1, reinterpret_cast<const std::byte*>(bits + i),
                           nullptr};
      Matrix x(1, 1), y(1, 1);
      x(0, 0) = 1;
      block_apply(w, x, y);
      const float expected = f16_to_f32(bits[i]);
      if (std::isnan(expected))
        EXPECT_TRUE(std::isnan(y(0, 0)));
      else
        EXPECT_EQ(y(0, 0), expected) << i;
    }
  });
}

TEST(RowMoments, AgreeWithLongDoubleLoops) {
  on_every_target([] {
    for (const DType type : kTypes)
      for (const Index cols : {1, 7, 64, 133})
        for (const Index shift : {0, 1}) {
          const WeightMatrix gate = random_weight(type, 37, cols, 3, shift, 21);
          const WeightMatrix up = random_weight(DType::kBF16, 37, cols, 0, 0, 22);
          const Matrix m = random_matrix(2, cols, 23);
          std::vector<double> metric, vector;
          for (Index c = 0; c < cols; ++c) {
            metric.push_back(static_cast<double>(m(0, c)) * static_cast<double>(m(0, c)));
            vector.push_back(static_cast<double>(m(1, c)));
          }
          const RowMoments got = row_moments(gate, &up, metric, vector);
          const RowMoments alone = row_moments(gate, nullptr, metric, vector);
          EXPECT_EQ(alone.v, got.v);
          EXPECT_EQ(alone.dot1, got.dot1);
          EXPECT_TRUE(alone.c.empty());
          for (Index r = 0; r < 37; ++r) {
            long double v = 0, c = 0, v3 = 0, d1 = 0, d3 = 0, size = 0;
            for (Index i = 0; i < cols; ++i) {
              const long double w1 = gate.at(r, i), w3 = up.at(r, i), s = metric[static_cast<std::size_t>(i)];
              const long double x = vector[static_cast<std::size_t>(i)];
              v += s * w1 * w1;
              c += s * w1 * w3;
              v3 += s * w3 * w3;
              d1 += x * w1;
              d3 += x * w3;
              size += (s + std::abs(x)) * (std::abs(w1) + std::abs(w3)) * (1 + std::abs(w1) + std::abs(w3));
            }
            const auto tolerance = static_cast<double>(size) * 1e-15;
            const auto i = static_cast<std::size_t>(r);
            EXPECT_NEAR(got.v[i], static_cast<double>(v), tolerance);
            EXPECT_NEAR(got.c[i], static_cast<double>(c), tolerance);
            EXPECT_NEAR(got.v3[i], static_cast<double>(v3), tolerance);
            EXPECT_NEAR(got.dot1[i], static_cast<double>(d1), tolerance);
            EXPECT_NEAR(got.dot3[i], static_cast<double>(d3), tolerance);
          }
        }
  });
}

TEST(RowMoments, WithoutMetricAndVectorAreThePlainNorms) {
  const WeightMatrix w = random_weight(DType::kF16, 5, 50, 0, 0, 31);
  const RowMoments got = row_moments(w, nullptr, {}, {});
  for (Index r = 0; r < 5; ++r) {
    double v = 0;
    for (Index c = 0; c < 50; ++c) v += w.at(r, c) * w.at(r, c);
    EXPECT_NEAR(got.v[static_cast<std::size_t>(r)], v, v * 1e-14);
    EXPECT_EQ(got.dot1[static_cast<std::size_t>(r)], 0);
  }
}

TEST(Convert, RoundsToBf16AsTheScalarFunctionDoes) {
  on_every_target([] {
    std::vector<float> values;
    for (const std::uint32_t bits : {0x00000000u, 0x80000000u, 0x3f808000u, 0x3f818000u, 0x3f807fffu,
                                     0x3f808001u, 0x7f800000u, 0xff800000u, 0x7fc00000u, 0x7f800001u,
                                     0xffffffffu, 0x7f7fffffu, 0x00000001u, 0x0000ffffu, 0x477fffffu})
      values.push_back(std::bit_cast<float>(bits));
    const Matrix random = random_matrix(1, 200, 41);
    values.insert(values.end(), random.data(), random.data() + 200);
    std::vector<std::uint16_t> got(values.size());
    round_to_bf16(values.data(), static_cast<Index>(values.size()), got.data());
    for (std::size_t i = 0; i < values.size(); ++i) EXPECT_EQ(got[i], f32_to_bf16(values[i])) << i;
  });
}

TEST(Convert, WidensEveryHalfExactly) {
  on_every_target([] {
    std::vector<std::uint16_t> halves(0x10000);
    for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<std::uint16_t>(i);
    for (const DType type : {DType::kF16, DType::kBF16}) {
      const WeightMatrix w{
          "all", type, 1, 0x10000, 0x10000, reinterpret_cast<const std::byte*>(halves.data()), nullptr};
      std::vector<float> got(halves.size());
      widen_rows(w, 0, 1, got.data(), w.cols);
      for (std::size_t i = 0; i < halves.size(); ++i) {
        const float expected = type == DType::kF16 ? f16_to_f32(halves[i]) : bf16_to_f32(halves[i]);
        if (std::isnan(expected))
          EXPECT_TRUE(std::isnan(got[i])) << i;
        else
          EXPECT_EQ(std::bit_cast<std::uint32_t>(got[i]), std::bit_cast<std::uint32_t>(expected)) << i;
      }
    }
  });
}

}  // namespace
}  // namespace defectoscope
