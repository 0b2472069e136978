#include "lineage/canonical_layer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "linearize/test_layers.h"
#include "spectral/linear_operator.h"

namespace defectoscope {
namespace {

DoubleMatrix centring(Index d, bool centred) {
  DoubleMatrix p = identity(d);
  for (Index r = 0; r < d && centred; ++r)
    for (Index c = 0; c < d; ++c) p(r, c) -= 1 / static_cast<double>(d);
  return p;
}

/// P (I + F/ρ)(I + A/ρ) P or P (I + (A + F)/ρ) P from explicit A and F.
DoubleMatrix formula(const LinearizedLayer& layer, const Canonical& canonical, bool sequential) {
  const DoubleMatrix a = form(layer.form(LinearForm::kAttention));
  const DoubleMatrix f = form(layer.form(LinearForm::kFfn));
  const Index d = a.rows();
  const double scale = 1 / canonical.residual_rms;
  const DoubleMatrix whole = sequential ? product(sum(identity(d), f, scale), sum(identity(d), a, scale))
                                        : sum(sum(identity(d), a, scale), f, scale);
  const DoubleMatrix p = centring(d, canonical.centred);
  return product(product(p, whole), p);
}

void expect_equal(const DoubleMatrix& got, const DoubleMatrix& expected) {
  EXPECT_LT(frobenius(sum(got, expected, -1)), 1e-5 * frobenius(expected));
}

TEST(CanonicalLayer, IsTheFormulaInEveryResidualForm) {
  for (const NormKind norm : {NormKind::kRmsNorm, NormKind::kLayerNorm})
    for (const ResidualForm residual : {ResidualForm::kSequential, ResidualForm::kParallel}) {
      const auto test = make_test_layer({.norm = norm, .residual = residual, .biases = true});
      const LinearizedLayer layer(test->weights, test->config, {});
      const Canonical canonical{.residual_rms = 0.3, .centred = norm == NormKind::kLayerNorm};
      const CanonicalLayer whole(layer, canonical);
      const DoubleMatrix expected = formula(layer, canonical, residual == ResidualForm::kSequential);
      expect_equal(form(whole), expected);
      expect_equal(form(TransposedOperator(whole)), transposed(expected));
      const DoubleMatrix p = centring(test->config.hidden_size, canonical.centred);
      const DoubleMatrix ffn = product(product(p, form(layer.form(LinearForm::kFfn))), p);
      expect_equal(form(CanonicalFfn(layer, canonical)), ffn);
      expect_equal(form(TransposedOperator(CanonicalFfn(layer, canonical))), transposed(ffn));
    }
}

TEST(CanonicalLayer, ScalingTheResidualChangesNothing) {
  const auto test = make_test_layer({});
  const LinearizedLayer layer(test->weights, test->config, {});
  const double c = 5;
  LayerWeights scaled = test->weights;
  for (WeightMatrix* writer : {&scaled.attention.output.weight, &scaled.ffn.down.weight}) {
    Matrix values(writer->rows, writer->cols);
    for (Index r = 0; r < writer->rows; ++r)
      for (Index k = 0; k < writer->cols; ++k) values(r, k) = static_cast<float>(c * writer->at(r, k));
    *writer = make_weight_matrix(values, writer->name);
  }
  const LinearizedLayer other(scaled, test->config, {});
  expect_equal(form(CanonicalLayer(other, {.residual_rms = 0.3 * c})),
               form(CanonicalLayer(layer, {.residual_rms = 0.3})));
  // The layer as it is has changed.
  const DoubleMatrix before = form(layer.form(LinearForm::kLayer));
  EXPECT_GT(frobenius(sum(form(other.form(LinearForm::kLayer)), before, -1)), 0.5 * frobenius(before));
}

TEST(CanonicalLayer, AConstantAddedToAllOutputsOfAWriterChangesNothingBehindLayerNorm) {
  const auto test = make_test_layer({.norm = NormKind::kLayerNorm});
  const LinearizedLayer layer(test->weights, test->config, {});
  LayerWeights shifted = test->weights;
  for (WeightMatrix* writer : {&shifted.attention.output.weight, &shifted.ffn.down.weight}) {
    Matrix values(writer->rows, writer->cols);
    for (Index r = 0; r < writer->rows; ++r)
      for (Index k = 0; k < writer->cols; ++k)
        values(r, k) = static_cast<float>(writer->at(r, k) + std::sin(static_cast<double>(k)));
    *writer = make_weight_matrix(values, writer->name);
  }
  const LinearizedLayer other(shifted, test->config, {});
  const Canonical canonical{.residual_rms = 0.3, .centred = true};
  expect_equal(form(CanonicalLayer(other, canonical)), form(CanonicalLayer(layer, canonical)));
}

TEST(CanonicalLayer, OutputNormsFixTheScaleThemselves) {
  const auto test = make_test_layer({.placement = NormPlacement::kOutput});
  const LinearizedLayer layer(test->weights, test->config, {.residual_rms = 0.3});
  expect_equal(form(CanonicalLayer(layer, {.residual_rms = 0.3})), form(layer.form(LinearForm::kLayer)));
}

}  // namespace
}  // namespace defectoscope
