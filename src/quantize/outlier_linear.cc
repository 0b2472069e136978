#include "quantize/outlier_linear.h"

#include <algorithm>
#include <utility>

#include "base/parallel.h"
#include "kernels/quantize.h"
#include "quantize/input_steps.h"

namespace defectoscope {
namespace {

class OutlierLinear final : public Linear {
 public:
  OutlierLinear(const LinearWeights& weights, const QuantScheme& scheme,
                const QuantizedLinearOptions& options)
      : threshold_(static_cast<float>(scheme.outlier_threshold)),
        window_(options.window),
        weight_(weights.weight) {
    QuantScheme rest = scheme;
    rest.outlier_threshold = 0;
    rest_ = make_quantized_linear(weights, rest, options);
  }

  void apply_at(ConstMatrixView x, std::span<const Index> places, MatrixView y) const override {
    for (Index begin = 0, count = 0; begin < x.rows(); begin += count) {
      count = rows_of_window(begin, x.rows(), places, window_);
      apply_window(x.block_rows(begin, count), y.block_rows(begin, count));
    }
  }

 private:
  std::vector<Index> outliers(ConstMatrixView x) const {
    std::vector<float> maxima(static_cast<std::size_t>(x.cols()));
    raise_column_maxima(x, maxima);
    std::vector<Index> columns;
    // NaN, too, is no number to quantize its column by.
    for (std::size_t c = 0; c < maxima.size(); ++c)
      if (!(maxima[c] < threshold_)) columns.push_back(static_cast<Index>(c));
    return columns;
  }

  void apply_window(ConstMatrixView x, MatrixView y) const {
    const std::vector<Index> columns = outliers(x);
    Matrix rest(x.rows(), x.cols());
    Matrix apart(x.rows(), static_cast<Index>(columns.size()));
    for (Index r = 0; r < x.rows(); ++r) {
      std::ranges::copy(x.row(r), rest.row(r).begin());
      for (std::size_t i = 0; i < columns.size(); ++i)
        apart(r, static_cast<Index>(i)) = std::exchange(rest(r, columns[i]), 0.0f);
    }
    rest_->apply(rest, y);
    if (columns.empty()) return;
    Matrix beside(weight_.rows, apart.cols());
    parallel_ranges(weight_.rows, 64, [&](Index begin, Index end) {
      for (Index r = begin; r < end; ++r)
        for (std::size_t i = 0; i < columns.size(); ++i)
          beside(r, static_cast<Index>(i)) = static_cast<float>(weight_.at(r, columns[i]));
    });
    Matrix added(x.rows(), weight_.rows);
    linear(make_weight_matrix(beside), {}, apart, added, ComputeType::kF32);
    for (Index r = 0; r < x.rows(); ++r)
      for (Index c = 0; c < y.cols(); ++c) y(r, c) += added(r, c);
  }

  float threshold_;
  Index window_;
  WeightMatrix weight_;
  std::unique_ptr<Linear> rest_;
};

}  // namespace

std::unique_ptr<Linear> make_outlier_linear(const LinearWeights& weights, const QuantScheme& scheme,
                                            const QuantizedLinearOptions& options) {
  return std::make_unique<OutlierLinear>(weights, scheme, options);
}

}  // namespace defectoscope
