#include "kernels/gemm_int8.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "kernels/convert.h"
#include "kernels/gemm_tiles.h"
#include "kernels/kept_buffer.h"
#include "kernels/matmul_int8.h"
#include "kernels/quantize.h"

namespace defectoscope {
namespace {

/// body(row, its values as f32), in parallel.
template <typename Body>
void for_widened_rows(const WeightMatrix& weight, const Body& body) {
  parallel_ranges(weight.rows, 16, [&](Index begin, Index end) {
    std::vector<float> row(static_cast<std::size_t>(weight.cols));
    for (Index r = begin; r < end; ++r) {
      widen_rows(weight, r, 1, row.data(), weight.cols);
      body(r, std::span<const float>(row));
    }
  });
}

/// Throws where one is not finite.
std::vector<float> row_maxima(const WeightMatrix& weight) {
  std::vector<float> maxima(static_cast<std::size_t>(weight.rows));
  for_widened_rows(weight, [&](Index r, std::span<const float> row) {
    maxima[static_cast<std::size_t>(r)] = max_abs(row);
  });
  if (!std::isfinite(max_abs(maxima)))
    throw_bad_input({.what = "a weight to be quantized is not finite",
                     .tensor = weight.name,
                     .expected = "finite numbers",
                     .hint = "the checkpoint is damaged, or was saved from a diverged training run"});
  return maxima;
}

}  // namespace

float weight_max(const WeightMatrix& weight) { return max_abs(row_maxima(weight)); }

Int8Weight quantize_weight(const WeightMatrix& weight, int limit, bool per_output, float max) {
  if (weight.cols > kMostInt8Inputs)
    throw_bad_input({.what = "too many inputs for sums of 32 bits",
                     .tensor = weight.name,
                     .expected = fmt::format("at most {}", kMostInt8Inputs),
                     .got = std::to_string(weight.cols)});
  Int8Weight result{Int8Matrix(weight.rows, weight.cols), {}};
  if (per_output) {
    result.steps = row_maxima(weight);
    for (float& step : result.steps) step = symmetric_step(step, limit);
  } else {
    result.steps = {symmetric_step(max == 0 ? weight_max(weight) : max, limit)};
  }
  for_widened_rows(weight, [&](Index r, std::span<const float> row) {
    quantize_int8(row, result.steps[per_output ? static_cast<std::size_t>(r) : 0], limit,
                  result.integers.row(r).data());
  });
  return result;
}

Int8Rows quantize_rows(ConstMatrixView x, std::span<const float> steps, int limit) {
  assert(static_cast<Index>(steps.size()) == x.rows());
  thread_local std::vector<std::int8_t> buffer;
  const BasicMatrixView<std::int8_t> integers(at_least(buffer, x.rows() * x.cols()), x.rows(), x.cols());
  parallel_ranges(x.rows(), 16, [&](Index begin, Index end) {
    for (Index r = begin; r < end; ++r)
      quantize_int8(x.row(r), steps[static_cast<std::size_t>(r)], limit, integers.row(r).data());
  });
  return {integers, steps};
}

void linear_int8(const Int8Weight& weight, std::span<const float> bias, const Int8Rows& x, MatrixView y) {
  const Index k = weight.integers.cols();
  assert(x.integers.cols() == k && y.cols() == weight.integers.rows() && y.rows() == x.integers.rows());
  if (y.empty()) return;
  // Measured with AMX at 7B shapes: up to a fifth faster than the tiles of wider numbers.
  constexpr GemmTile kLargestTile = {.rows = 256, .outputs = 1024};
  for_gemm_tiles(y.rows(), y.cols(), kLargestTile, [&](Index row, Index rows, Index first, Index count) {
    thread_local std::vector<std::int32_t> sums;
    sums.resize(static_cast<std::size_t>(rows * count));
    matmul_int8(rows, count, k, x.integers.row(row).data(), k, weight.integers.row(first).data(), k,
                sums.data(), count);
    const auto part = [&](std::span<const float> all) {
      return all.size() <= 1 && weight.integers.rows() != 1
                 ? all
                 : all.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
    };
    const std::span<const float> own_bias = bias.empty() ? bias : part(bias);
    for (Index r = 0; r < rows; ++r)
      rescale(std::span(sums).subspan(static_cast<std::size_t>(r * count), static_cast<std::size_t>(count)),
              x.steps[static_cast<std::size_t>(row + r)], part(weight.steps), own_bias, &y(row + r, first));
  });
}

}  // namespace defectoscope
