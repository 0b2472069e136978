#include "quantize/input_steps.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/parallel.h"
#include "kernels/quantize.h"

namespace defectoscope {

Index rows_of_window(Index begin, Index rows, std::span<const Index> places, Index window) {
  if (window <= 0) return rows - begin;
  if (places.empty()) return std::min(window, rows - begin);
  const auto own = places.subspan(static_cast<std::size_t>(begin));
  const Index next = (own.front() / window + 1) * window;  // the next window's first row in the pass
  return std::ranges::lower_bound(own, next) - own.begin();
}

InputSteps input_steps(ConstMatrixView x, std::span<const Index> places, const QuantScheme& scheme,
                       const QuantizedLinearOptions& options, int levels) {
  InputSteps result;
  std::vector<float>& steps = result.steps;
  steps.resize(static_cast<std::size_t>(x.rows()));
  parallel_ranges(x.rows(), 16, [&](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) steps[static_cast<std::size_t>(r)] = max_abs(x.row(r));
  });
  for (std::size_t r = 0; r < steps.size(); ++r)
    if (!std::isfinite(steps[r])) {
      result.broken.push_back(static_cast<Index>(r));
      steps[r] = 0;
    }
  if (scheme.static_activations) {
    std::ranges::fill(steps, options.input_max);
  } else if (scheme.activations == Granularity::kTensor) {
    for (Index begin = 0, count = 0; begin < x.rows(); begin += count) {
      count = rows_of_window(begin, x.rows(), places, options.window);
      const auto part =
          std::span(steps).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count));
      std::ranges::fill(part, *std::ranges::max_element(part));
    }
  }
  for (float& step : steps) step = symmetric_step(step, levels);
  return result;
}

void break_rows(std::span<const Index> rows, MatrixView y) {
  for (const Index row : rows) std::ranges::fill(y.row(row), std::numeric_limits<float>::quiet_NaN());
}

}  // namespace defectoscope
