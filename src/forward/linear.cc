#include "forward/transformer.h"

namespace defectoscope {
namespace {

class DenseLinear final : public Linear {
 public:
  DenseLinear(const LinearWeights& weights, ComputeType compute) : weights_(weights), compute_(compute) {}

  void apply_at(ConstMatrixView x, std::span<const Index>, MatrixView y) const override {
    linear(weights_.weight, weights_.bias, x, y, compute_);
  }

 private:
  LinearWeights weights_;
  ComputeType compute_;
};

}  // namespace

std::unique_ptr<Linear> make_dense_linear(const LinearWeights& weights, ComputeType compute) {
  return std::make_unique<DenseLinear>(weights, compute);
}

}  // namespace defectoscope
