#include "linearize/layer_operator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/parallel.h"
#include "linearize/quadratic.h"
#include "linearize/test_layers.h"
#include "spectral/basis.h"
#include "spectral/eigen.h"

namespace defectoscope {
namespace {

/// A, F and L of THEORY.md's table as explicit matrices, from weights and fit alone.
struct DenseForms {
  DoubleMatrix a, f, layer;
};

/// diag(g) or diag(g)(I − 11ᵀ/d); the identity where there is no norm.
DoubleMatrix norm_matrix(const NormWeights& norm, Index d, bool centred) {
  DoubleMatrix matrix = identity(d);
  if (!norm.defined()) return matrix;
  for (Index r = 0; r < d; ++r)
    for (Index c = 0; c < d; ++c) {
      if (centred) matrix(r, c) -= 1 / static_cast<double>(d);
      matrix(r, c) *= static_cast<double>(norm.gain[static_cast<std::size_t>(r)]);
    }
  return matrix;
}

DenseForms dense_forms(const TestLayer& layer, const FfnFit& fit, bool parity, double rms = 1) {
  const ModelConfig& config = layer.config;
  const LayerWeights& w = layer.weights;
  const Index d = config.hidden_size;
  const bool centred = layer.architecture.norm == NormKind::kLayerNorm && !parity;
  const auto norm = [&](const NormWeights& weights) { return norm_matrix(weights, d, centred); };

  DoubleMatrix repeat(config.query_size(), config.kv_size());
  for (Index h = 0; h < config.heads; ++h)
    for (Index i = 0; i < config.head_dim; ++i)
      repeat(h * config.head_dim + i, h * config.kv_heads / config.heads * config.head_dim + i) = 1;
  const DoubleMatrix value_output =
      product(dense(w.attention.output.weight), product(repeat, dense(w.attention.value.weight)));
  const bool gated = w.ffn.gate.weight.defined();
  DoubleMatrix f1 = dense((gated ? w.ffn.gate : w.ffn.up).weight);
  const DoubleMatrix up = dense(w.ffn.up.weight);
  for (Index j = 0; j < f1.rows(); ++j)
    for (Index c = 0; c < d; ++c) {
      const auto at = static_cast<std::size_t>(j);
      f1(j, c) = fit.alpha[at] * f1(j, c) + (gated ? fit.beta[at] * up(j, c) : 0.0);
    }
  const DoubleMatrix through = product(dense(w.ffn.down.weight), f1);

  DenseForms forms;
  const DoubleMatrix one = identity(d);
  switch (layer.architecture.placement) {
    case NormPlacement::kPre:
    case NormPlacement::kSandwich:
      forms.a = product(value_output, norm(w.attention_norm));
      forms.f = product(
          through,
          norm(layer.architecture.residual == ResidualForm::kParallelShared ? w.attention_norm : w.ffn_norm));
      if (layer.architecture.placement == NormPlacement::kSandwich) {
        forms.a = product(norm(w.attention_post_norm), forms.a);
        forms.f = product(norm(w.ffn_post_norm), forms.f);
      }
      break;
    case NormPlacement::kOutput: {
      forms.a = product(norm(w.attention_post_norm), value_output);
      forms.f = product(norm(w.ffn_post_norm), through);
      if (!parity) {
        DoubleMatrix centre = identity(d);
        if (centred)
          for (Index i = 0; i < d * d; ++i) centre.data()[i] -= 1 / static_cast<double>(d);
        const auto scale = [&](const DoubleMatrix& m) {
          return std::sqrt(static_cast<double>(d)) / (rms * frobenius(product(centre, m)));
        };
        forms.a = sum(DoubleMatrix(d, d), forms.a, scale(value_output));
        forms.f = sum(DoubleMatrix(d, d), forms.f, scale(through));
      }
      break;
    }
    case NormPlacement::kPost:
      forms.a = value_output;
      forms.f = through;
      forms.layer = product(norm(w.ffn_norm),
                            product(sum(one, forms.f), product(norm(w.attention_norm), sum(one, forms.a))));
      return forms;
  }
  forms.layer = layer.architecture.residual == ResidualForm::kSequential
                    ? product(sum(one, forms.f), sum(one, forms.a))
                    : sum(one, sum(forms.a, forms.f));
  return forms;
}

void expect_operator_is(const LinearOperator& op, const DoubleMatrix& expected) {
  const double scale = frobenius(expected);
  EXPECT_LT(frobenius(sum(form(op), expected, -1)), 1e-6 * scale);
  EXPECT_LT(frobenius(sum(transposed(form(TransposedOperator(op))), expected, -1)), 1e-6 * scale);
}

void expect_forms_match(const LayerShape& shape, const LinearizeOptions& options) {
  const auto layer = make_test_layer(shape);
  const LinearizedLayer linearized(layer->weights, layer->config, options);
  const DenseForms expected =
      dense_forms(*layer, linearized.fit(), options.paper_parity, options.residual_rms);
  expect_operator_is(linearized.form(LinearForm::kAttention), expected.a);
  expect_operator_is(linearized.form(LinearForm::kFfn), expected.f);
  expect_operator_is(linearized.form(LinearForm::kLayer), expected.layer);
  expect_operator_is(linearized.form(LinearForm::kResidual), sum(expected.layer, identity(shape.d), -1));
}

TEST(LayerOperator, IsTheTablesFormulaForEveryPlacementOfNormsAndResidualForm) {
  for (const NormKind norm : {NormKind::kRmsNorm, NormKind::kLayerNorm})
    for (const bool parity : {false, true}) {
      for (const ResidualForm residual :
           {ResidualForm::kSequential, ResidualForm::kParallel, ResidualForm::kParallelShared})
        expect_forms_match({.norm = norm, .residual = residual, .biases = true}, {.paper_parity = parity});
      for (const NormPlacement placement :
           {NormPlacement::kSandwich, NormPlacement::kPost, NormPlacement::kOutput})
        expect_forms_match({.norm = norm, .placement = placement, .biases = true},
                           {.paper_parity = parity, .residual_rms = 2.5});
    }
}

TEST(LayerOperator, IsTheTablesFormulaForPlainFfnsAndAnyHeads) {
  expect_forms_match({.norm = NormKind::kLayerNorm, .activation = Activation::kGeluTanh, .gated = false}, {});
  expect_forms_match({.heads = 4, .kv_heads = 1, .head_dim = 5}, {});
  expect_forms_match({.heads = 3, .kv_heads = 3, .head_dim = 8}, {});
}

TEST(LayerOperator, InPaperParityFitsWithoutBiasesOrGain) {
  const auto layer = make_test_layer({.norm = NormKind::kLayerNorm, .biases = true});
  const LinearizedLayer linearized(layer->weights, layer->config, {.paper_parity = true});
  LayerWeights bare = layer->weights;
  bare.ffn.gate.bias.clear();
  bare.ffn.up.bias.clear();
  const FfnFit expected = fit_ffn(bare, layer->config, InputCovariance::kIdentity);
  EXPECT_EQ(linearized.fit().alpha, expected.alpha);
  EXPECT_EQ(linearized.fit().beta, expected.beta);
}

TEST(LayerOperator, OfSampledF1ApproachesTheClosedForm) {
  const auto layer = make_test_layer({.biases = true, .d = 16, .ffn = 24, .heads = 4, .kv_heads = 4});
  const LinearizedLayer closed(layer->weights, layer->config, {});
  const LinearizedLayer sampled(layer->weights, layer->config, {.samples = 100'000});
  const DoubleMatrix exact = form(closed.form(LinearForm::kFfn));
  const double error = frobenius(sum(form(sampled.form(LinearForm::kFfn)), exact, -1)) / frobenius(exact);
  EXPECT_LT(error, 0.1);
  EXPECT_GT(error, 1e-4);
}

TEST(LayerOperator, OfHalfPrecisionWeightsUsesTheirRoundedValues) {
  const auto layer = make_test_layer({});
  for (LinearWeights* linear : {&layer->weights.attention.value, &layer->weights.attention.output,
                                &layer->weights.ffn.gate, &layer->weights.ffn.up, &layer->weights.ffn.down}) {
    Matrix values(linear->weight.rows, linear->weight.cols);
    for (Index r = 0; r < values.rows(); ++r) linear->weight.copy_row(r, values.row(r));
    linear->weight = make_weight_matrix(values, DType::kBF16, linear->weight.name);
  }
  const LinearizedLayer linearized(layer->weights, layer->config, {});
  expect_operator_is(linearized.form(LinearForm::kLayer), dense_forms(*layer, linearized.fit(), false).layer);
}

TEST(LayerOperator, LeadingTripletAgreesWithLapack) {
  for (const std::uint64_t seed : {1u, 2u, 3u, 4u}) {
    const auto layer =
        make_test_layer({.d = 96, .ffn = 200, .heads = 8, .kv_heads = 4, .head_dim = 12, .seed = seed});
    const LinearizedLayer linearized(layer->weights, layer->config, {});
    for (const LinearForm which : {LinearForm::kLayer, LinearForm::kFfn}) {
      const LinearOperator& op = linearized.form(which);
      const DenseSvd exact = dense_svd(form(op));
      const SingularTriplets found = leading_singular(op, {});
      const std::vector<double> left(found.left.row(0).begin(), found.left.row(0).end());
      const double angle = acute_angle_degrees(left, exact.left.row(0));
      EXPECT_TRUE(found.converged);
      EXPECT_LE(angle, found.angle_bound_degrees);
      if (exact.values[0] / exact.values[1] >= 1.05) {
        EXPECT_LT(angle, 0.01);
      }
      EXPECT_NEAR(found.values[0], exact.values[0], 1e-5 * exact.values[0]);
    }
  }
}

TEST(LayerOperator, KnowsWhatItsStrongestNeuronReads) {
  const auto layer = make_test_layer({.d = 64, .ffn = 150, .heads = 8, .kv_heads = 8, .head_dim = 8});
  Matrix down(64, 150);
  for (Index r = 0; r < 64; ++r) layer->weights.ffn.down.weight.copy_row(r, down.row(r));
  for (Index r = 0; r < 64; ++r) down(r, 17) = 100 * down(r, 5);
  layer->weights.ffn.down.weight = make_weight_matrix(down, "down.weight");
  const LinearizedLayer linearized(layer->weights, layer->config, {});
  const LinearOperator& f = linearized.form(LinearForm::kFfn);
  const Matrix likely = f.likely_right_vectors(3);
  ASSERT_EQ(likely.rows(), 3);
  const std::vector<double> first(likely.row(0).begin(), likely.row(0).end());
  EXPECT_LT(acute_angle_degrees(first, dense_svd(form(f)).right.row(0)), 5);
}

TEST(LayerOperator, GivesTheSameBytesAtAnyThreadCount) {
  const auto layer =
      make_test_layer({.biases = true, .d = 64, .ffn = 150, .heads = 8, .kv_heads = 2, .head_dim = 8});
  const int before = thread_count();
  const auto run = [&](int threads) {
    set_thread_count(threads);
    const LinearizedLayer linearized(layer->weights, layer->config, {});
    return leading_singular(linearized.form(LinearForm::kLayer), {});
  };
  const SingularTriplets one = run(1);
  for (const int threads : {2, 4}) {
    const SingularTriplets many = run(threads);
    EXPECT_EQ(one.values, many.values);
    EXPECT_EQ(0, std::memcmp(one.left.data(), many.left.data(), 2 * 64 * sizeof(float)));
  }
  set_thread_count(before);
}

TEST(LayerOperator, NamesTheAttentionTensorThatIsNotFinite) {
  for (const bool value : {true, false}) {
    const auto layer = make_test_layer({});
    LinearWeights& target = value ? layer->weights.attention.value : layer->weights.attention.output;
    Matrix values(target.weight.rows, target.weight.cols);
    values(1, 1) = std::numeric_limits<float>::quiet_NaN();
    target.weight = make_weight_matrix(values, target.weight.name);
    try {
      const LinearizedLayer linearized(layer->weights, layer->config, {});
      FAIL() << "accepted NaN";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr(target.weight.name));
    }
  }
}

/// S_u by its definition, Σ_j (u·w2_j) H_j between the norm's gains.
DoubleMatrix dense_quadratic(const TestLayer& layer, const FfnFit& fit, const std::vector<double>& u) {
  const LayerWeights& w = layer.weights;
  const Index d = layer.config.hidden_size;
  const bool gated = w.ffn.gate.weight.defined();
  const DoubleMatrix first = dense((gated ? w.ffn.gate : w.ffn.up).weight), up = dense(w.ffn.up.weight);
  const DoubleMatrix down = dense(w.ffn.down.weight);
  DoubleMatrix total(d, d);
  for (Index j = 0; j < first.rows(); ++j) {
    double along = 0;
    for (Index i = 0; i < d; ++i) along += u[static_cast<std::size_t>(i)] * down(i, j);
    const auto at = static_cast<std::size_t>(j);
    const double q = gated ? fit.q[at] : 0;
    for (Index r = 0; r < d; ++r)
      for (Index c = 0; c < d; ++c)
        total(r, c) += along * (fit.p[at] * first(j, r) * first(j, c) +
                                q * (first(j, r) * up(j, c) + up(j, r) * first(j, c)));
  }
  const DoubleMatrix gain = norm_matrix(w.ffn_norm, d, layer.architecture.norm == NormKind::kLayerNorm);
  return product(transposed(gain), product(total, gain));
}

TEST(QuadraticForm, IsItsDefinition) {
  for (const bool gated : {true, false}) {
    const auto layer = make_test_layer({.norm = gated ? NormKind::kRmsNorm : NormKind::kLayerNorm,
                                        .activation = Activation::kGeluErf,
                                        .gated = gated,
                                        .biases = true});
    const LinearizedLayer linearized(layer->weights, layer->config, {});
    const DoubleMatrix u = random_block(1, 24, 3, 0);
    const std::vector<double> direction(u.row(0).begin(), u.row(0).end());
    expect_operator_is(QuadraticForm(linearized, direction),
                       dense_quadratic(*layer, linearized.fit(), direction));
  }
}

TEST(LeadingSymmetric, SeparatesValuesOfEqualSizeAndOppositeSign) {
  const Index n = 60;
  const DoubleMatrix basis = [&] {
    Basis b(n);
    b.append(random_block(n, n, 5, 0), 0);
    DoubleMatrix rows(n, n);
    std::copy_n(b.rows().data(), n * n, rows.data());
    return rows;
  }();
  DoubleMatrix s(n, n);
  for (Index i = 0; i < n; ++i) {
    const double value = i == 0   ? 3.0
                         : i == 1 ? -3.0
                         : i == 2 ? -2.0
                                  : 0.5 * std::cos(static_cast<double>(i));
    for (Index r = 0; r < n; ++r)
      for (Index c = 0; c < n; ++c) s(r, c) += value * basis(i, r) * basis(i, c);
  }
  const SymmetricPairs found = leading_symmetric(DenseOperator(s), {.count = 3});
  EXPECT_TRUE(found.converged);
  ASSERT_EQ(found.pairs.size(), 3u);
  EXPECT_NEAR(std::abs(found.pairs[0].value), 3, 1e-5);
  EXPECT_NEAR(found.pairs[0].value + found.pairs[1].value, 0, 1e-5);
  EXPECT_NEAR(found.pairs[2].value, -2, 1e-4);
  const Index positive = found.pairs[0].value > 0 ? 0 : 1;
  EXPECT_LT(acute_angle_degrees(found.pairs[static_cast<std::size_t>(positive)].x, basis.row(0)), 0.01);
  EXPECT_LT(acute_angle_degrees(found.pairs[static_cast<std::size_t>(1 - positive)].x, basis.row(1)), 0.01);
}

}  // namespace
}  // namespace defectoscope
