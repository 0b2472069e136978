#include "quantize/quantized_linear.h"

#include "kernels/gemm_int8.h"
#include "quantize/input_steps.h"
#include "quantize/outlier_linear.h"
#include "quantize/simulated_linear.h"

namespace defectoscope {
namespace {

class IntegerLinear final : public Linear {
 public:
  IntegerLinear(const LinearWeights& weights, const QuantScheme& scheme,
                const QuantizedLinearOptions& options)
      : scheme_(scheme),
        options_(options),
        weight_(quantize_weight(weights.weight, integer_limit(scheme.weight_bits),
                                scheme.weights == Granularity::kChannel, options.weight_max)),
        bias_(weights.bias) {}

  void apply_at(ConstMatrixView x, std::span<const Index> places, MatrixView y) const override {
    const int limit = integer_limit(scheme_.activation_bits);
    const InputSteps input = input_steps(x, places, scheme_, options_, limit);
    linear_int8(weight_, bias_, quantize_rows(x, input.steps, limit), y);
    break_rows(input.broken, y);
  }

 private:
  QuantScheme scheme_;
  QuantizedLinearOptions options_;
  Int8Weight weight_;
  std::vector<float> bias_;
};

}  // namespace

std::unique_ptr<Linear> make_quantized_linear(const LinearWeights& weights, const QuantScheme& scheme,
                                              const QuantizedLinearOptions& options) {
  check_scheme(scheme);
  if (scheme.outlier_threshold > 0) return make_outlier_linear(weights, scheme, options);
  if (runs_on_integers(scheme)) return std::make_unique<IntegerLinear>(weights, scheme, options);
  return make_simulated_linear(weights, scheme, options);
}

}  // namespace defectoscope
