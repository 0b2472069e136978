#include "kernels/gemm.h"

#include <cmath>

#include "kernels/test_support.h"

namespace defectoscope {
namespace {

using testing::kEps, testing::on_every_target, testing::random_matrix, testing::random_weight;
using testing::same_at_any_thread_count, testing::to_vector;

constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16};

/// Y in double and Σ|w||x|; inputs rounded through bf16 where `bf16`.
struct Reference {
  DoubleMatrix y, scale;
};

Reference reference(const WeightMatrix& w, std::span<const float> bias, ConstMatrixView x, bool bf16) {
  const auto rounded = [bf16](float value) {
    return static_cast<double>(bf16 ? bf16_to_f32(f32_to_bf16(value)) : value);
  };
  DoubleMatrix weights(w.rows, w.cols), inputs(x.rows(), x.cols());
  for (Index r = 0; r < w.rows; ++r)
    for (Index c = 0; c < w.cols; ++c) weights(r, c) = rounded(static_cast<float>(w.at(r, c)));
  for (Index r = 0; r < x.rows(); ++r)
    for (Index c = 0; c < x.cols(); ++c) inputs(r, c) = rounded(x(r, c));
  Reference result{DoubleMatrix(x.rows(), w.rows), DoubleMatrix(x.rows(), w.rows)};
  for (Index m = 0; m < x.rows(); ++m)
    for (Index n = 0; n < w.rows; ++n) {
      double sum = bias.empty() ? 0 : static_cast<double>(bias[static_cast<std::size_t>(n)]),
             size = std::abs(sum);
      for (Index k = 0; k < w.cols; ++k) {
        const double product = weights(n, k) * inputs(m, k);
        sum += product;
        size += std::abs(product);
      }
      result.y(m, n) = sum;
      result.scale(m, n) = size;
    }
  return result;
}

void expect_accurate(const WeightMatrix& w, bool with_bias, Index m, ComputeType compute) {
  SCOPED_TRACE(std::string(dtype_name(w.dtype)) + " m=" + std::to_string(m) + " n=" + std::to_string(w.rows) +
               " k=" + std::to_string(w.cols) + (compute == ComputeType::kBF16 ? " bf16" : " f32"));
  const Matrix memory = random_matrix(m, w.cols + 4, static_cast<unsigned>(m));
  const ConstMatrixView x(memory.data() + 1, m, w.cols, w.cols + 4);
  const Matrix bias_values = random_matrix(1, w.rows, 77);
  const std::span<const float> bias = with_bias ? bias_values.row(0) : std::span<const float>();
  const std::vector<float> got = same_at_any_thread_count([&] {
    Matrix y_memory(m, w.rows + 3);
    std::fill_n(y_memory.data(), m * (w.rows + 3), 7.0f);
    const MatrixView y(y_memory.data(), m, w.rows, w.rows + 3);
    linear(w, bias, x, y, compute);
    for (Index r = 0; r < m; ++r)
      for (Index c = w.rows; c < w.rows + 3; ++c) EXPECT_EQ(y_memory(r, c), 7.0f);
    return to_vector(y);
  });
  // Few rows are computed from unrounded inputs, which is allowed and better: hold them against both.
  const Reference exact = reference(w, bias, x, false);
  const Reference rounded = reference(w, bias, x, compute == ComputeType::kBF16);
  double worst = 0, worst_exact = 0;
  for (Index i = 0; i < m * w.rows; ++i) {
    const auto value = static_cast<double>(got[static_cast<std::size_t>(i)]);
    worst = std::max(worst, std::abs(value - rounded.y.data()[i]) / rounded.scale.data()[i] / kEps);
    worst_exact = std::max(worst_exact, std::abs(value - exact.y.data()[i]) / exact.scale.data()[i] / kEps);
  }
  EXPECT_LE(std::min(worst, worst_exact), 4 + std::sqrt(static_cast<double>(w.cols)));
}

TEST(Linear, AgreesWithPlainLoopForEveryTypeAndRemainder) {
  for (const DType type : kTypes)
    for (const ComputeType compute : {ComputeType::kF32, ComputeType::kBF16})
      for (const Index m : {1, 8, 24, 25, 97, 130})
        for (const auto& [n, k] : {std::pair<Index, Index>{1, 1}, {5, 3}, {64, 64}, {131, 97}, {300, 32}})
          expect_accurate(random_weight(type, n, k, m % 2 == 0 ? 0 : 3, 0, 3), m % 3 == 0, m, compute);
}

TEST(Linear, SpansManyTiles) {
  for (const DType type : kTypes)
    for (const ComputeType compute : {ComputeType::kF32, ComputeType::kBF16})
      expect_accurate(random_weight(type, 1100, 61, 0, 0, 5), true, 530, compute);
}

TEST(Linear, ReadsMisalignedWeights) {
  for (const DType type : kTypes)
    for (const ComputeType compute : {ComputeType::kF32, ComputeType::kBF16})
      for (const Index shift : {1, 2, 3}) {
        expect_accurate(random_weight(type, 40, 50, 0, shift, 6), true, 100, compute);
        expect_accurate(random_weight(type, 40, 50, 0, shift, 6), true, 4, compute);
      }
}

TEST(Linear, NoRowsIsNothingAndNoInputsIsTheBias) {
  const WeightMatrix w = random_weight(DType::kBF16, 4, 6, 0, 0, 6);
  Matrix none(0, 4);
  linear(w, {}, Matrix(0, 6), none, ComputeType::kBF16);
  const WeightMatrix empty = random_weight(DType::kF32, 3, 0, 0, 0, 6);
  const float bias[] = {1, 2, 3};
  Matrix y(120, 3);
  linear(empty, bias, Matrix(120, 0), y, ComputeType::kF32);
  for (Index r = 0; r < 120; ++r)
    EXPECT_EQ(to_vector(y.view().block_rows(r, 1)), (std::vector<float>{1, 2, 3}));
}

}  // namespace
}  // namespace defectoscope
