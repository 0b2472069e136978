#include "linearize/maximiser.h"

#include <gtest/gtest.h>

#include <cmath>

#include "linearize/test_layers.h"

namespace defectoscope {
namespace {

std::vector<LayerShape> shapes() {
  std::vector<LayerShape> all;
  for (const NormPlacement placement :
       {NormPlacement::kPre, NormPlacement::kPost, NormPlacement::kSandwich, NormPlacement::kOutput})
    for (const NormKind norm : {NormKind::kRmsNorm, NormKind::kLayerNorm})
      for (const bool gated : {true, false}) {
        LayerShape shape;
        shape.placement = placement;
        shape.norm = norm;
        shape.gated = gated;
        shape.biases = !gated;
        shape.activation = gated ? Activation::kSilu : Activation::kGeluErf;
        all.push_back(shape);
      }
  return all;
}

Matrix random_rows(Index count, Index d, double length, std::uint64_t seed) {
  Random random(seed);
  Matrix rows(count, d);
  for (Index r = 0; r < count; ++r) {
    double square = 0;
    for (float& value : rows.row(r)) {
      value = static_cast<float>(random.normal());
      square += static_cast<double>(value) * value;
    }
    for (float& value : rows.row(r)) value = static_cast<float>(value * length / std::sqrt(square));
  }
  return rows;
}

double size_of(std::span<const float> x) {
  double square = 0;
  for (const float value : x) square += static_cast<double>(value) * value;
  return std::sqrt(square);
}

TEST(RealFfn, GradientOfTheOutputsNormIsItsDifferenceQuotient) {
  for (const LayerShape& shape : shapes()) {
    const auto layer = make_test_layer(shape);
    const RealFfn ffn(layer->weights, layer->config);
    const Matrix x = random_rows(3, shape.d, ffn.radius(), 5);
    Matrix gradient(3, shape.d), output(3, shape.d);
    const std::vector<double> values = ffn.norm_gradient(x, gradient);
    ffn.apply(x, output);
    for (Index r = 0; r < 3; ++r) {
      EXPECT_NEAR(values[static_cast<std::size_t>(r)], size_of(output.row(r)), 1e-5 * size_of(output.row(r)));
      const Matrix direction = random_rows(2, shape.d, 1, 7 + static_cast<std::uint64_t>(r));
      for (Index k = 0; k < 2; ++k) {
        const double step = 2e-2 * ffn.radius();
        double along = 0;
        Matrix shifted(4, shape.d), there(4, shape.d);
        for (Index i = 0; i < shape.d; ++i) {
          along += static_cast<double>(gradient(r, i)) * direction(k, i);
          const auto d = static_cast<double>(direction(k, i));
          for (Index s = 0; s < 4; ++s)  // −2, −1, 1, 2 steps
            shifted(s, i) =
                static_cast<float>(x(r, i) + static_cast<double>(s < 2 ? s - 2 : s - 1) * step * d);
        }
        ffn.apply(shifted, there);
        const double near = size_of(there.row(2)) - size_of(there.row(1));
        const double far = size_of(there.row(3)) - size_of(there.row(0));
        // Fourth order, so that steps can stay large beside f32's rounding.
        const double quotient = (8 * near - far) / (12 * step);
        EXPECT_NEAR(along, quotient, 2e-3 * size_of(gradient.row(r)))
            << static_cast<int>(shape.placement) << static_cast<int>(shape.norm) << shape.gated;
      }
    }
  }
}

TEST(Maximiser, NeverEndsBelowItsStartAndArrivesWhereTheGradientVanishes) {
  for (const LayerShape& shape : shapes()) {
    const auto layer = make_test_layer(shape);
    const RealFfn ffn(layer->weights, layer->config);
    const auto found = ascend(ffn, random_rows(6, shape.d, 3, 11), {});
    for (const LocalMaximum& maximum : found) {
      EXPECT_GE(maximum.value, maximum.start_value);
      // Behind an output norm the size is nearly flat: there only the ascent is promised.
      if (shape.placement == NormPlacement::kPre || shape.placement == NormPlacement::kPost) {
        EXPECT_TRUE(maximum.converged) << maximum.stationarity;
      }
      EXPECT_NEAR(size_of(maximum.x), 1, 1e-6);
      EXPECT_NEAR(size_of(maximum.output), 1, 1e-5);
    }
  }
}

TEST(Maximiser, FindsThePlantedNeuron) {
  // One neuron with huge weights reads the coordinate 3 and writes the coordinate 7: the maximum is known.
  LayerShape shape;
  const auto layer = make_test_layer(shape);
  layer->weights.ffn_norm.gain.assign(static_cast<std::size_t>(shape.d), 1.0f);
  const auto with_entry = [](const WeightMatrix& weight, Index row, Index col, float value) {
    Matrix values(weight.rows, weight.cols);
    for (Index r = 0; r < weight.rows; ++r)
      for (Index c = 0; c < weight.cols; ++c) values(r, c) = 0.01f * static_cast<float>(weight.at(r, c));
    values(row, col) = value;
    return make_weight_matrix(values, weight.name);
  };
  layer->weights.ffn.gate.weight = with_entry(layer->weights.ffn.gate.weight, 5, 3, 20);
  layer->weights.ffn.up.weight = with_entry(layer->weights.ffn.up.weight, 5, 3, 20);
  layer->weights.ffn.down.weight = with_entry(layer->weights.ffn.down.weight, 7, 5, 20);
  const RealFfn ffn(layer->weights, layer->config);
  const auto found = ascend(ffn, random_rows(8, shape.d, 1, 3), {});
  const auto best = std::max_element(found.begin(), found.end(),
                                     [](const auto& a, const auto& b) { return a.value < b.value; });
  EXPECT_GT(best->x[3], 0.9999f);
  EXPECT_GT(std::abs(best->output[7]), 0.9999f);
}

}  // namespace
}  // namespace defectoscope
