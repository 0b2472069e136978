#include "quantize/simulated_linear.h"

#include "base/parallel.h"
#include "kernels/convert.h"
#include "kernels/gemm_int8.h"
#include "kernels/quantize.h"
#include "quantize/input_steps.h"

namespace defectoscope {
namespace {

constexpr int kLargestE4M3 = 448;

int levels(const QuantScheme& scheme, int bits) {
  return scheme.format == NumberFormat::kE4M3 ? kLargestE4M3 : integer_limit(bits);
}

/// Values that share a step, in place.
void round_values(std::span<float> values, float step, const QuantScheme& scheme, int bits) {
  if (scheme.format == NumberFormat::kE4M3)
    quantize_dequantize_e4m3(values, step);
  else
    quantize_dequantize(values, step, integer_limit(bits));
}

/// Each group of values with its own step.
void round_groups(std::span<float> values, const QuantScheme& scheme, int bits) {
  const auto group = static_cast<std::size_t>(scheme.group_size);
  for (std::size_t begin = 0; begin < values.size(); begin += group) {
    const auto part = values.subspan(begin, std::min(group, values.size() - begin));
    round_values(part, symmetric_step(max_abs(part), levels(scheme, bits)), scheme, bits);
  }
}

class SimulatedLinear final : public Linear {
 public:
  SimulatedLinear(const LinearWeights& weights, const QuantScheme& scheme,
                  const QuantizedLinearOptions& options)
      : scheme_(scheme), options_(options), weights_(weights) {
    if (scheme.weight_bits < kUnquantizedBits)
      weights_.weight = make_weight_matrix(simulated_weight(weights.weight, scheme, options.weight_max),
                                           weights.weight.name);
  }

  void apply_at(ConstMatrixView x, std::span<const Index> places, MatrixView y) const override {
    if (scheme_.activation_bits == kUnquantizedBits) {
      linear(weights_.weight, weights_.bias, x, y, options_.compute);
      return;
    }
    const int bits = scheme_.activation_bits;
    const InputSteps input = input_steps(x, places, scheme_, options_, levels(scheme_, bits));
    Matrix rounded(x.rows(), x.cols());
    parallel_ranges(x.rows(), 16, [&](Index begin, Index end) {
      for (Index r = begin; r < end; ++r) {
        std::ranges::copy(x.row(r), rounded.row(r).begin());
        if (scheme_.activations == Granularity::kGroup)
          round_groups(rounded.row(r), scheme_, bits);
        else
          round_values(rounded.row(r), input.steps[static_cast<std::size_t>(r)], scheme_, bits);
      }
    });
    linear(weights_.weight, weights_.bias, rounded, y, ComputeType::kF32);
    break_rows(input.broken, y);
  }

 private:
  QuantScheme scheme_;
  QuantizedLinearOptions options_;
  LinearWeights weights_;
};

}  // namespace

Matrix simulated_weight(const WeightMatrix& weight, const QuantScheme& scheme, float max) {
  const int bits = scheme.weight_bits;
  const float own = weight_max(weight);
  const float whole = symmetric_step(max == 0 ? own : max, levels(scheme, bits));
  Matrix result(weight.rows, weight.cols);
  parallel_ranges(weight.rows, 16, [&](Index begin, Index end) {
    widen_rows(weight, begin, end - begin, result.row(begin).data(), weight.cols);
    for (Index r = begin; r < end; ++r) {
      const std::span<float> row = result.row(r);
      if (scheme.weights == Granularity::kGroup)
        round_groups(row, scheme, bits);
      else if (scheme.weights == Granularity::kChannel)
        round_values(row, symmetric_step(max_abs(row), levels(scheme, bits)), scheme, bits);
      else
        round_values(row, whole, scheme, bits);
    }
  });
  return result;
}

std::unique_ptr<Linear> make_simulated_linear(const LinearWeights& weights, const QuantScheme& scheme,
                                              const QuantizedLinearOptions& options) {
  return std::make_unique<SimulatedLinear>(weights, scheme, options);
}

}  // namespace defectoscope
