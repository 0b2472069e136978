#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "linearize/layer_operator.h"
#include "spectral/basis.h"

namespace defectoscope {

/// Sequential, pre-norm, RMSNorm, gated unless changed.
struct LayerShape {
  NormKind norm = NormKind::kRmsNorm;
  NormPlacement placement = NormPlacement::kPre;
  ResidualForm residual = ResidualForm::kSequential;
  Activation activation = Activation::kSilu;
  bool gated = true;
  bool biases = false;
  Index d = 24, ffn = 40, heads = 6, kv_heads = 3, head_dim = 4;
  std::uint64_t seed = 1;
};

/// A random layer with its configuration. Inputs of the activation have a standard deviation near 1.
struct TestLayer {
  ArchitectureSpec architecture;
  ModelConfig config;
  LayerWeights weights;
};

inline std::unique_ptr<TestLayer> make_test_layer(const LayerShape& shape) {
  auto layer = std::make_unique<TestLayer>();
  layer->architecture.name = "test";
  layer->architecture.norm = shape.norm;
  layer->architecture.placement = shape.placement;
  layer->architecture.residual = shape.residual;
  ModelConfig& config = layer->config;
  config.architecture = &layer->architecture;
  config.hidden_size = shape.d;
  config.heads = shape.heads;
  config.kv_heads = shape.kv_heads;
  config.head_dim = shape.head_dim;
  config.ffn_size = shape.ffn;
  config.activation = shape.activation;

  Random random(shape.seed);
  const auto vector = [&](Index size, double mean, double spread) {
    std::vector<float> values(static_cast<std::size_t>(size));
    for (float& value : values) value = static_cast<float>(mean + spread * random.normal());
    return values;
  };
  const auto matrix = [&](Index rows, Index cols, const std::string& name) {
    Matrix values(rows, cols);
    for (Index r = 0; r < rows; ++r)
      for (float& value : values.row(r))
        value = static_cast<float>(random.normal() / std::sqrt(static_cast<double>(cols)));
    LinearWeights linear{make_weight_matrix(values, name + ".weight"), {}};
    if (shape.biases) linear.bias = vector(rows, 0.1, 0.5);
    return linear;
  };
  const auto norm = [&] {
    NormWeights weights{vector(shape.d, 1, 0.4), {}};
    if (shape.norm == NormKind::kLayerNorm) weights.shift = vector(shape.d, 0, 0.3);
    return weights;
  };
  LayerWeights& weights = layer->weights;
  if (shape.placement != NormPlacement::kOutput) weights.attention_norm = norm();
  if (shape.placement != NormPlacement::kOutput && shape.residual != ResidualForm::kParallelShared)
    weights.ffn_norm = norm();
  if (shape.placement == NormPlacement::kSandwich || shape.placement == NormPlacement::kOutput) {
    weights.attention_post_norm = norm();
    weights.ffn_post_norm = norm();
  }
  weights.attention.value = matrix(config.kv_size(), shape.d, "value");
  weights.attention.output = matrix(shape.d, config.query_size(), "output");
  if (shape.gated) weights.ffn.gate = matrix(shape.ffn, shape.d, "gate");
  weights.ffn.up = matrix(shape.ffn, shape.d, "up");
  weights.ffn.down = matrix(shape.d, shape.ffn, "down");
  return layer;
}

inline DoubleMatrix dense(const WeightMatrix& weight) {
  DoubleMatrix out(weight.rows, weight.cols);
  for (Index r = 0; r < weight.rows; ++r)
    for (Index c = 0; c < weight.cols; ++c) out(r, c) = weight.at(r, c);
  return out;
}

inline DoubleMatrix product(const DoubleMatrix& a, const DoubleMatrix& b) {
  DoubleMatrix out(a.rows(), b.cols());
  for (Index r = 0; r < a.rows(); ++r)
    for (Index k = 0; k < a.cols(); ++k)
      for (Index c = 0; c < b.cols(); ++c) out(r, c) += a(r, k) * b(k, c);
  return out;
}

inline DoubleMatrix sum(const DoubleMatrix& a, const DoubleMatrix& b, double scale = 1) {
  DoubleMatrix out = a;
  for (Index i = 0; i < a.rows() * a.cols(); ++i) out.data()[i] += scale * b.data()[i];
  return out;
}

inline DoubleMatrix identity(Index n) {
  DoubleMatrix out(n, n);
  for (Index i = 0; i < n; ++i) out(i, i) = 1;
  return out;
}

inline double frobenius(const DoubleMatrix& a) {
  double total = 0;
  for (Index i = 0; i < a.rows() * a.cols(); ++i) total += a.data()[i] * a.data()[i];
  return std::sqrt(total);
}

}  // namespace defectoscope
