#include "linearize/mixture.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "linearize/quadratic.h"
#include "linearize/test_layers.h"

namespace defectoscope {
namespace {

constexpr Index kExperts = 4;

/// A dense layer's FFN and three more beside it, with a router, a shared expert and its switch.
std::unique_ptr<TestLayer> make_mixture() {
  auto layer = make_test_layer({});
  layer->architecture.experts.spellings.resize(1);
  layer->config.experts.experts = kExperts;
  layer->config.experts.chosen = 2;
  layer->config.experts.normalized = true;
  ExpertWeights& experts = layer->weights.experts;
  for (Index e = 0; e < kExperts; ++e)
    experts.experts.push_back(make_test_layer({.seed = 10 + static_cast<std::uint64_t>(e)})->weights.ffn);
  experts.shared = make_test_layer({.ffn = 16, .seed = 20})->weights.ffn;
  const auto rows = [&](Index count) {
    Random random(30 + static_cast<std::uint64_t>(count));
    Matrix values(count, layer->config.hidden_size);
    for (Index r = 0; r < count; ++r)
      for (float& value : values.row(r)) value = static_cast<float>(0.5 * random.normal());
    return LinearWeights{make_weight_matrix(values, "router"), {}};
  };
  experts.router = rows(kExperts);
  experts.shared_switch = rows(1);
  layer->weights.ffn = {};
  return layer;
}

/// F of one expert as a layer of its own has it.
DoubleMatrix f_of(const TestLayer& layer, const FfnWeights& ffn) {
  LayerWeights alone = layer.weights;
  alone.experts = {};
  alone.ffn = ffn;
  return form(LinearizedLayer(alone, layer.config, {}).form(LinearForm::kFfn));
}

void add_scaled(DoubleMatrix& sum, const DoubleMatrix& term, double factor) {
  for (Index i = 0; i < sum.rows() * sum.cols(); ++i) sum.data()[i] += factor * term.data()[i];
}

double distance(const DoubleMatrix& a, const DoubleMatrix& b) {
  double difference = 0, size = 0;
  for (Index i = 0; i < a.rows() * a.cols(); ++i) {
    difference += std::pow(a.data()[i] - b.data()[i], 2);
    size += b.data()[i] * b.data()[i];
  }
  return std::sqrt(difference / size);
}

TEST(Mixture, FIsTheWeightedSumOfTheExpertsAndTheSharedOne) {
  const auto layer = make_mixture();
  const std::vector<double> weights = {0.5, 0, 0.3, 0.2};
  const LinearizedLayer linearized(layer->weights, layer->config, {.expert_weights = weights});
  const FfnInput input = ffn_input(layer->weights, layer->config, InputCovariance::kGain);
  DoubleMatrix expected(layer->config.hidden_size, layer->config.hidden_size);
  for (std::size_t e = 0; e < weights.size(); ++e)
    add_scaled(expected, f_of(*layer, layer->weights.experts.experts[e]), weights[e]);
  add_scaled(expected, f_of(*layer, layer->weights.experts.shared),
             expert_shares(layer->weights.experts, layer->config, input).shared);
  const LinearOperator& f = linearized.form(LinearForm::kFfn);
  EXPECT_LT(distance(form(f), expected), 1e-6);
  const DoubleMatrix adjoint = form(TransposedOperator(f));
  DoubleMatrix back(adjoint.cols(), adjoint.rows());
  for (Index i = 0; i < adjoint.rows(); ++i)
    for (Index j = 0; j < adjoint.cols(); ++j) back(j, i) = adjoint(i, j);
  EXPECT_LT(distance(back, expected), 1e-6);
}

TEST(Mixture, AChosenExpertStandsAlone) {
  const auto layer = make_mixture();
  const LinearizedLayer linearized(layer->weights, layer->config, {.expert = 2});
  EXPECT_LT(
      distance(form(linearized.form(LinearForm::kFfn)), f_of(*layer, layer->weights.experts.experts[2])),
      1e-7);
  EXPECT_THROW(LinearizedLayer(layer->weights, layer->config, {.expert = kExperts}), Error);
}

TEST(Mixture, SharesAreTheRoutersMeanWeights) {
  const auto layer = make_mixture();
  const FfnInput input = ffn_input(layer->weights, layer->config, InputCovariance::kGain);
  const ExpertShares shares = expert_shares(layer->weights.experts, layer->config, input);
  double sum = 0;
  for (const double share : shares.experts) sum += share;
  EXPECT_NEAR(sum, 1, 1e-6);              // normalized weights
  EXPECT_NEAR(shares.shared, 0.5, 0.02);  // of a switch without bias, by symmetry
  // A router that cannot tell its experts apart but for one's bias chooses that one and the first.
  ExpertWeights biased = layer->weights.experts;
  biased.router = {make_weight_matrix(Matrix(kExperts, layer->config.hidden_size)), {0, 0, 0, 2}};
  const ExpertShares two = expert_shares(biased, layer->config, input);
  EXPECT_NEAR(two.experts[3], 1 / (1 + std::exp(-2.0)), 1e-6);
  EXPECT_NEAR(two.experts[0], 1 / (1 + std::exp(2.0)), 1e-6);
  EXPECT_EQ(two.experts[1], 0);
}

TEST(Mixture, TheQuadraticFormIsTheSumOfTheExperts) {
  const auto layer = make_mixture();
  const Index d = layer->config.hidden_size;
  const std::vector<double> u(static_cast<std::size_t>(d), 0.25), weights = {0.25, 0.75, 0, 0};
  DoubleMatrix expected(d, d);
  const auto quadratic = [&](const LinearizedLayer& linearized) {
    return form(QuadraticForm(linearized, u));
  };
  for (const Index e : {Index{0}, Index{1}})
    add_scaled(expected, quadratic(LinearizedLayer(layer->weights, layer->config, {.expert = e})),
               weights[static_cast<std::size_t>(e)]);
  auto without_shared = layer->weights;
  without_shared.experts.shared = {};
  const LinearizedLayer mean(without_shared, layer->config, {.expert_weights = weights});
  EXPECT_LT(distance(quadratic(mean), expected), 1e-6);
}

TEST(Mixture, AClampedGateIsFittedAsItsSamplesAre) {
  const auto layer =
      make_test_layer({.activation = Activation::kQuickGelu, .d = 8, .ffn = 6, .heads = 2, .kv_heads = 1});
  layer->architecture.up_offset = 1;
  layer->config.ffn_clamp = 1.5;
  for (float& value : layer->weights.ffn_norm.gain) value *= 0.5f;
  layer->weights.ffn.gate.bias.assign(6, 0.25f);
  // quick-GELU is x only well above its knee: there the closed form must agree with samples.
  layer->config.ffn_clamp = 4;
  layer->weights.ffn.gate.bias.assign(6, 3.5f);
  const FfnFit fit = fit_ffn(layer->weights, layer->config, InputCovariance::kGain);
  const SampledFit sampled = sample_ffn(layer->weights, layer->config, InputCovariance::kGain, 200000, 1);
  for (Index j = 0; j < 6; ++j) {
    const auto at = static_cast<std::size_t>(j);
    EXPECT_NEAR(fit.mean[at], sampled.mean[at], 0.03);
    for (Index i = 0; i < 8; ++i) {
      const double row = fit.alpha[at] * layer->weights.ffn.gate.weight.at(j, i) +
                         fit.beta[at] * layer->weights.ffn.up.weight.at(j, i);
      EXPECT_NEAR(row, sampled.f1(j, i), 0.05) << j << ", " << i;
    }
  }
}

TEST(LatentAttention, AIsTheProductThroughTheLatentWithItsNormAtItsMeanSquare) {
  const auto layer = make_test_layer({.heads = 4, .kv_heads = 4, .head_dim = 6});
  const Index d = layer->config.hidden_size, rank = 10, value = 5;
  layer->config.value_dim = value;
  layer->config.kv_latent = rank;
  const auto matrix = [&](Index out, Index in, std::uint64_t seed) {
    Random random(seed);
    Matrix values(out, in);
    for (Index r = 0; r < out; ++r)
      for (float& v : values.row(r)) v = static_cast<float>(random.normal() / 4);
    return LinearWeights{make_weight_matrix(values, "latent"), {}};
  };
  AttentionWeights& attention = layer->weights.attention;
  attention.latent.kv = matrix(rank, d, 1);
  attention.latent.kv_norm.gain.assign(static_cast<std::size_t>(rank), 1.5f);
  attention.value = matrix(4 * value, rank, 2);
  attention.output = matrix(d, 4 * value, 3);
  const LinearizedLayer linearized(layer->weights, layer->config, {});
  double square = 0;
  const std::vector<float>& gain = layer->weights.attention_norm.gain;
  for (Index r = 0; r < rank; ++r)
    for (Index c = 0; c < d; ++c)
      square += std::pow(
          attention.latent.kv.weight.at(r, c) * static_cast<double>(gain[static_cast<std::size_t>(c)]), 2);
  const double scale = 1.5 * std::sqrt(static_cast<double>(rank) / square);
  DoubleMatrix expected(d, d);
  for (Index i = 0; i < d; ++i)
    for (Index j = 0; j < d; ++j)
      for (Index v = 0; v < 4 * value; ++v)
        for (Index r = 0; r < rank; ++r)
          expected(i, j) += attention.output.weight.at(i, v) * attention.value.weight.at(v, r) * scale *
                            attention.latent.kv.weight.at(r, j) *
                            static_cast<double>(gain[static_cast<std::size_t>(j)]);
  const LinearOperator& a = linearized.form(LinearForm::kAttention);
  EXPECT_LT(distance(form(a), expected), 1e-6);
  const DoubleMatrix adjoint = form(TransposedOperator(a));
  EXPECT_NEAR(adjoint(3, 5), expected(5, 3), 1e-5);
}

TEST(Sinks, ASinkTakesItsShareOfALoneTokensValue) {
  const auto layer = make_test_layer({});
  AttentionWeights& attention = layer->weights.attention;
  const DoubleMatrix plain =
      form(LinearizedLayer(layer->weights, layer->config, {}).form(LinearForm::kAttention));
  attention.query.weight = make_weight_matrix(Matrix(24, 24));  // scores are 0
  attention.key.weight = make_weight_matrix(Matrix(12, 24));
  attention.sinks.assign(6, std::log(3.0f));
  DoubleMatrix expected(24, 24);
  add_scaled(expected, plain, 0.25);
  EXPECT_LT(distance(form(LinearizedLayer(layer->weights, layer->config, {}).form(LinearForm::kAttention)),
                     expected),
            1e-6);
}

}  // namespace
}  // namespace defectoscope
