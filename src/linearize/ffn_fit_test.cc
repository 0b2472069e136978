#include "linearize/ffn_fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/parallel.h"
#include "linearize/test_integration.h"
#include "linearize/test_layers.h"

namespace defectoscope {
namespace {

using Vector = std::vector<long double>;

/// What the fit must be for one neuron, by integration over the two coordinates that the neuron sees:
/// a = b1 + s z1, w3·x = κ s z1 + ρ z2. f is of degree one in z2, so three Gauss-Hermite points are exact
/// there.
struct NeuronTruth {
  Vector row;  ///< F1 row
  long double mean = 0, total = 0, linear = 0, quadratic = 0;
  long double h11 = 0, h12 = 0;  ///< E[f (z1² − 1)], E[f z1 z2]
  long double s = 0, kappa = 0, rho = 0;
};

NeuronTruth integrate_neuron(Activation activation, const Vector& w1, const Vector* w3, long double b1,
                             long double b3, const DoubleMatrix& covariance) {
  const std::size_t d = w1.size();
  const auto form = [&](const Vector& x, const Vector& y) {
    long double total = 0;
    for (std::size_t i = 0; i < d; ++i)
      for (std::size_t k = 0; k < d; ++k)
        total +=
            x[i] * static_cast<long double>(covariance(static_cast<Index>(i), static_cast<Index>(k))) * y[k];
    return total;
  };
  NeuronTruth truth;
  const long double v = form(w1, w1);
  truth.s = std::sqrt(v);
  truth.kappa = w3 == nullptr ? 0 : form(w1, *w3) / v;
  truth.rho = w3 == nullptr ? 0 : std::sqrt(form(*w3, *w3) - truth.kappa * truth.kappa * v);
  const auto moments = gaussian_integral<7>(
      [&](long double z1) {
        std::array<long double, 7> sums{};
        const long double gate = exact_activation(activation, b1 + truth.s * z1);
        const long double points[] = {0, std::sqrt(3.0L), -std::sqrt(3.0L)}, weights[] = {4, 1, 1};
        for (int k = 0; k < 3; ++k) {
          const long double z2 = points[k];
          const long double f =
              gate * (w3 == nullptr ? 1 : b3 + truth.kappa * truth.s * z1 + truth.rho * z2) * weights[k] / 6;
          const long double whole = f * f * 6 / weights[k];
          const long double terms[] = {
              f, f * z1, f * z2, f * (z1 * z1 - 1), f * z1 * z2, f * (z2 * z2 - 1), whole};
          for (std::size_t t = 0; t < 7; ++t) sums[t] += terms[t];
        }
        return sums;
      },
      b1, truth.s);
  truth.mean = moments[0];
  truth.linear = moments[1] * moments[1] + moments[2] * moments[2];
  truth.quadratic = moments[3] * moments[3] / 2 + moments[4] * moments[4] + moments[5] * moments[5] / 2;
  truth.total = moments[6] - moments[0] * moments[0];
  truth.h11 = moments[3];
  truth.h12 = moments[4];
  for (std::size_t i = 0; i < d; ++i) {
    long double value = moments[1] * w1[i] / truth.s;
    if (w3 != nullptr) value += moments[2] * ((*w3)[i] - truth.kappa * w1[i]) / truth.rho;
    truth.row.push_back(value);
  }
  return truth;
}

Vector row_of(const WeightMatrix& weight, Index row) {
  Vector values;
  for (Index c = 0; c < weight.cols; ++c) values.push_back(static_cast<long double>(weight.at(row, c)));
  return values;
}

/// Σ as an explicit matrix: I, diag(g²) or GPG.
DoubleMatrix explicit_covariance(const TestLayer& layer, InputCovariance covariance) {
  const Index d = layer.config.hidden_size;
  DoubleMatrix sigma = identity(d);
  if (covariance == InputCovariance::kIdentity) return sigma;
  if (layer.architecture.norm == NormKind::kLayerNorm)
    for (Index i = 0; i < d; ++i)
      for (Index k = 0; k < d; ++k) sigma(i, k) -= 1 / static_cast<double>(d);
  for (Index i = 0; i < d; ++i)
    for (Index k = 0; k < d; ++k)
      sigma(i, k) *= static_cast<double>(layer.weights.ffn_norm.gain[static_cast<std::size_t>(i)]) *
                     static_cast<double>(layer.weights.ffn_norm.gain[static_cast<std::size_t>(k)]);
  return sigma;
}

void expect_near(double got, long double expected, long double scale) {
  EXPECT_LE(std::abs(static_cast<long double>(got) - expected), 1e-10L * std::max(std::abs(expected), scale))
      << "got " << got << " expected " << static_cast<double>(expected);
}

/// Every neuron's row, intercept and variance shares against integration.
void expect_fit_agrees_with_integration(const LayerShape& shape, InputCovariance covariance) {
  const auto layer = make_test_layer(shape);
  const LayerWeights& weights = layer->weights;
  const FfnFit fit = fit_ffn(weights, layer->config, covariance);
  const DoubleMatrix sigma = explicit_covariance(*layer, covariance);
  const LinearWeights& first = shape.gated ? weights.ffn.gate : weights.ffn.up;
  long double total = 0, linear = 0, quadratic = 0, total_w = 0, linear_w = 0, quadratic_w = 0;
  for (Index j = 0; j < shape.ffn; ++j) {
    const auto at = static_cast<std::size_t>(j);
    const Vector w1 = row_of(first.weight, j), w3 = row_of(weights.ffn.up.weight, j);
    const auto bias = [&](const LinearWeights& linear_weights, const Vector& w) {
      long double b = linear_weights.bias.empty() ? 0 : static_cast<long double>(linear_weights.bias[at]);
      if (covariance == InputCovariance::kGain && !weights.ffn_norm.shift.empty())
        for (std::size_t i = 0; i < w.size(); ++i)
          b += w[i] * static_cast<long double>(weights.ffn_norm.shift[i]);
      return b;
    };
    const NeuronTruth truth = integrate_neuron(shape.activation, w1, shape.gated ? &w3 : nullptr,
                                               bias(first, w1), bias(weights.ffn.up, w3), sigma);
    long double largest = 0;
    for (const long double value : truth.row) largest = std::max(largest, std::abs(value));
    for (std::size_t i = 0; i < w1.size(); ++i)
      expect_near(fit.alpha[at] * static_cast<double>(w1[i]) +
                      (shape.gated ? fit.beta[at] * static_cast<double>(w3[i]) : 0.0),
                  truth.row[i], largest);
    expect_near(fit.mean[at], truth.mean, std::sqrt(truth.total) * 1e-3L);
    // H in the neuron's two coordinates.
    const long double q = shape.gated ? static_cast<long double>(fit.q[at]) : 0;
    const long double p = static_cast<long double>(fit.p[at]);
    expect_near(static_cast<double>(p * truth.s * truth.s + 2 * q * truth.kappa * truth.s * truth.s),
                truth.h11, std::sqrt(truth.total));
    expect_near(static_cast<double>(q * truth.s * truth.rho), truth.h12, std::sqrt(truth.total));
    long double weight = 0;
    for (Index i = 0; i < shape.d; ++i)
      weight += std::pow(static_cast<long double>(weights.ffn.down.weight.at(i, j)), 2);
    total += truth.total, linear += truth.linear, quadratic += truth.quadratic;
    total_w += weight * truth.total, linear_w += weight * truth.linear,
        quadratic_w += weight * truth.quadratic;
  }
  expect_near(fit.linear_share, linear / total, 1);
  expect_near(fit.quadratic_share, quadratic / total, 1);
  expect_near(fit.linear_share_weighted, linear_w / total_w, 1);
  expect_near(fit.quadratic_share_weighted, quadratic_w / total_w, 1);
  EXPECT_GT(fit.linear_share, 0.05);
  EXPECT_LE(fit.linear_share + fit.quadratic_share, 1.0);
}

TEST(FfnFit, OfGatedUnitsAgreesWithIntegrationForEveryActivation) {
  for (const Activation activation : {Activation::kSilu, Activation::kGeluErf, Activation::kGeluTanh,
                                      Activation::kQuickGelu, Activation::kRelu, Activation::kRelu2})
    for (const InputCovariance covariance : {InputCovariance::kIdentity, InputCovariance::kGain})
      expect_fit_agrees_with_integration({.activation = activation, .biases = true, .d = 12, .ffn = 5},
                                         covariance);
}

TEST(FfnFit, OfPlainUnitsAgreesWithIntegrationForEveryActivation) {
  for (const Activation activation : {Activation::kSilu, Activation::kGeluErf, Activation::kGeluTanh,
                                      Activation::kQuickGelu, Activation::kRelu, Activation::kRelu2})
    expect_fit_agrees_with_integration(
        {.activation = activation, .gated = false, .biases = true, .d = 12, .ffn = 5},
        InputCovariance::kGain);
}

TEST(FfnFit, OfLayerNormInputsUsesGPGAndFoldsTheShift) {
  for (const bool gated : {true, false})
    for (const InputCovariance covariance : {InputCovariance::kIdentity, InputCovariance::kGain})
      expect_fit_agrees_with_integration({.norm = NormKind::kLayerNorm,
                                          .activation = Activation::kGeluErf,
                                          .gated = gated,
                                          .biases = true,
                                          .d = 12,
                                          .ffn = 6},
                                         covariance);
}

TEST(FfnFit, WithoutBiasesHasOnlyTheSiluTerms) {
  expect_fit_agrees_with_integration({.d = 16, .ffn = 8}, InputCovariance::kIdentity);
}

TEST(FfnFit, OfZeroRowsIsZeroAndFinite) {
  const auto layer = make_test_layer({.d = 8, .ffn = 4});
  layer->weights.ffn.gate.weight = make_weight_matrix(Matrix(4, 8), "gate.weight");
  for (const Activation activation : {Activation::kSilu, Activation::kRelu, Activation::kGeluErf}) {
    layer->config.activation = activation;
    const FfnFit fit = fit_ffn(layer->weights, layer->config, InputCovariance::kGain);
    for (std::size_t j = 0; j < 4; ++j) {
      EXPECT_EQ(fit.alpha[j], 0);
      EXPECT_EQ(fit.beta[j], 0);
      EXPECT_EQ(fit.mean[j], 0);
    }
    EXPECT_TRUE(std::isfinite(fit.linear_share));
  }
}

TEST(FfnFit, NamesTheTensorThatIsNotFinite) {
  for (const char* broken : {"gate", "up", "down"}) {
    const auto layer = make_test_layer({.d = 8, .ffn = 4});
    FfnWeights& ffn = layer->weights.ffn;
    LinearWeights& target = broken[0] == 'g' ? ffn.gate : broken[0] == 'u' ? ffn.up : ffn.down;
    Matrix values(target.weight.rows, target.weight.cols);
    values(2, 3) = std::numeric_limits<float>::infinity();
    target.weight = make_weight_matrix(values, target.weight.name);
    try {
      fit_ffn(layer->weights, layer->config, InputCovariance::kGain);
      FAIL() << "accepted an infinite weight in " << broken;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
      EXPECT_THAT(error.what(), testing::HasSubstr(std::string(broken) + ".weight"));
    }
  }
}

/// Root mean square and largest deviation of sampled from closed-form rows, in standard errors of least
/// squares with constant variance. The real variance of a coefficient is up to a few times that.
struct Deviation {
  double mean_square = 0, largest = 0, intercept = 0;
};

Deviation deviation(const TestLayer& layer, const FfnFit& fit, InputCovariance covariance, Index samples) {
  const SampledFit sampled = sample_ffn(layer.weights, layer.config, covariance, samples, 7);
  const LayerWeights& weights = layer.weights;
  const bool gated = weights.ffn.gate.weight.defined();
  const FfnInput input = ffn_input(weights, layer.config, covariance);
  const Index d = layer.config.hidden_size;
  Deviation out;
  for (Index j = 0; j < layer.config.ffn_size; ++j) {
    const auto at = static_cast<std::size_t>(j);
    const Vector w1 = row_of((gated ? weights.ffn.gate : weights.ffn.up).weight, j);
    const Vector w3 = row_of(weights.ffn.up.weight, j);
    const DoubleMatrix sigma = explicit_covariance(layer, covariance);
    const auto bias = [&](const LinearWeights& linear, const Vector& w) {
      long double b = linear.bias.empty() ? 0 : static_cast<long double>(linear.bias[at]);
      for (std::size_t i = 0; i < input.shift.size(); ++i)
        b += w[i] * static_cast<long double>(input.shift[i]);
      return b;
    };
    const NeuronTruth truth = integrate_neuron(layer.config.activation, w1, gated ? &w3 : nullptr,
                                               bias(gated ? weights.ffn.gate : weights.ffn.up, w1),
                                               bias(weights.ffn.up, w3), sigma);
    const auto error =
        static_cast<double>(std::sqrt((truth.total - truth.linear) / static_cast<long double>(samples)));
    // Compare behind the norm's gain (and centring), where the draws are independent.
    double average = 0;
    std::vector<double> difference;
    for (Index i = 0; i < d; ++i) {
      const auto k = static_cast<std::size_t>(i);
      const double closed = fit.alpha[at] * static_cast<double>(w1[k]) +
                            (gated ? fit.beta[at] * static_cast<double>(w3[k]) : 0.0);
      const double gain = input.gain.empty() ? 1 : input.gain[k];
      difference.push_back((sampled.f1(j, i) - closed) * gain);
      average += difference.back() / static_cast<double>(d);
    }
    for (double& x : difference) {
      if (input.centred) x -= average;
      out.mean_square += x * x / (error * error) / static_cast<double>(d * layer.config.ffn_size);
      out.largest = std::max(out.largest, std::abs(x) / error);
    }
    out.intercept = std::max(out.intercept, std::abs(sampled.mean[at] - fit.mean[at]) / error);
  }
  return out;
}

TEST(SampledFit, OfAMillionDrawsLiesWithinItsErrorOfTheClosedForm) {
  for (const bool layer_norm : {false, true}) {
    const auto layer = make_test_layer({.norm = layer_norm ? NormKind::kLayerNorm : NormKind::kRmsNorm,
                                        .activation = layer_norm ? Activation::kGeluErf : Activation::kSilu,
                                        .gated = !layer_norm,
                                        .biases = true,
                                        .d = 7,
                                        .ffn = 6});
    const FfnFit fit = fit_ffn(layer->weights, layer->config, InputCovariance::kGain);
    const Deviation found = deviation(*layer, fit, InputCovariance::kGain, 1'000'000);
    EXPECT_GT(found.mean_square, 0.5);
    EXPECT_LT(found.mean_square, 4.0);
    EXPECT_LT(found.largest, 8.0);
    EXPECT_LT(found.intercept, 5.0);
    // The measure has teeth: the fit for other inputs is far outside.
    const FfnFit other = fit_ffn(layer->weights, layer->config, InputCovariance::kIdentity);
    EXPECT_GT(deviation(*layer, other, InputCovariance::kGain, 50'000).largest, 12.0);
  }
}

TEST(SampledFit, GivesTheSameBytesAtAnyThreadCount) {
  const auto layer = make_test_layer({.biases = true, .d = 30, .ffn = 300});
  const int before = thread_count();
  set_thread_count(1);
  const SampledFit one = sample_ffn(layer->weights, layer->config, InputCovariance::kGain, 3000, 1);
  const FfnFit closed = fit_ffn(layer->weights, layer->config, InputCovariance::kGain);
  for (const int threads : {2, 4}) {
    set_thread_count(threads);
    const SampledFit many = sample_ffn(layer->weights, layer->config, InputCovariance::kGain, 3000, 1);
    EXPECT_TRUE(std::equal(one.f1.data(), one.f1.data() + 9000, many.f1.data()));
    EXPECT_EQ(one.mean, many.mean);
    const FfnFit closed_many = fit_ffn(layer->weights, layer->config, InputCovariance::kGain);
    EXPECT_EQ(closed.alpha, closed_many.alpha);
    EXPECT_EQ(closed.linear_share_weighted, closed_many.linear_share_weighted);
  }
  set_thread_count(before);
}

TEST(SampledFit, RefusesFewerSamplesThanUnknowns) {
  const auto layer = make_test_layer({.d = 20, .ffn = 4});
  EXPECT_THROW(sample_ffn(layer->weights, layer->config, InputCovariance::kIdentity, 20, 1), Error);
}

}  // namespace
}  // namespace defectoscope
