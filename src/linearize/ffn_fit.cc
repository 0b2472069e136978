#include "linearize/ffn_fit.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"
#include "base/parallel.h"
#include "kernels/block_apply.h"
#include "kernels/convert.h"
#include "linearize/norm_form.h"

namespace defectoscope {
namespace {

constexpr Index kNeuronTile = 128;
constexpr Index kRowTile = 256;

void require_finite(const std::vector<double>& values, const std::string& tensor) {
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]))
      throw_bad_input({.what = "a weight is not finite",
                       .tensor = tensor,
                       .expected = "finite numbers",
                       .got = "NaN or infinity in row or column " + std::to_string(i),
                       .hint = "the checkpoint is damaged: fetch it again"});
}

/// Per neuron: v = w1ᵀΣw1, c = w1ᵀΣw3, v3 = w3ᵀΣw3 and the biases with the norm's shift folded in.
struct NeuronMoments {
  std::vector<double> v, c, v3, b1, b3;
};

std::vector<double> bias_of(const LinearWeights& linear, std::size_t neurons) {
  std::vector<double> bias(neurons, 0.0);
  std::ranges::transform(linear.bias, bias.begin(), [](float b) { return static_cast<double>(b); });
  return bias;
}

NeuronMoments neuron_moments(const LinearWeights& first, const LinearWeights* second, const FfnInput& input) {
  const auto d = static_cast<std::size_t>(first.weight.cols);
  const auto neurons = static_cast<std::size_t>(first.weight.rows);
  std::vector<double> metric(d), gain(d);
  for (std::size_t i = 0; i < d; ++i) {
    gain[i] = input.rms * (input.gain.empty() ? 1.0 : input.gain[i]);
    metric[i] = gain[i] * gain[i];
  }
  const WeightMatrix* w3 = second == nullptr ? nullptr : &second->weight;
  RowMoments sums = row_moments(first.weight, w3, metric,
                                input.centred ? std::span<const double>(gain) : std::span<const double>());
  require_finite(sums.v, first.weight.name);
  if (w3 != nullptr) require_finite(sums.v3, w3->name);
  NeuronMoments moments{
      std::move(sums.v), std::move(sums.c), std::move(sums.v3), bias_of(first, neurons), {}};
  if (w3 != nullptr) moments.b3 = bias_of(*second, neurons);
  if (input.centred) {
    const double inverse = 1 / static_cast<double>(d);
    for (std::size_t j = 0; j < neurons; ++j) {
      moments.v[j] = std::max(0.0, moments.v[j] - sums.dot1[j] * sums.dot1[j] * inverse);
      if (w3 == nullptr) continue;
      moments.c[j] -= sums.dot1[j] * sums.dot3[j] * inverse;
      moments.v3[j] = std::max(0.0, moments.v3[j] - sums.dot3[j] * sums.dot3[j] * inverse);
    }
  }
  if (!input.shift.empty()) {
    const RowMoments shifts = row_moments(first.weight, w3, metric, input.shift);
    for (std::size_t j = 0; j < neurons; ++j) {
      moments.b1[j] += shifts.dot1[j];
      if (w3 != nullptr) moments.b3[j] += shifts.dot3[j];
    }
  }
  require_finite(moments.b1, first.weight.name + " (bias)");
  if (w3 != nullptr) require_finite(moments.b3, w3->name + " (bias)");
  return moments;
}

/// ‖column j‖² of W2 [d, ffn]: what neuron j weighs in the FFN's output.
std::vector<double> column_squares(const WeightMatrix& weight) {
  const Index tiles = (weight.rows + kRowTile - 1) / kRowTile;
  DoubleMatrix partial(tiles, weight.cols);
  parallel_for(tiles, [&](Index tile) {
    std::vector<float> row(static_cast<std::size_t>(weight.cols));
    double* sum = partial.row(tile).data();
    for (Index r = tile * kRowTile; r < std::min(weight.rows, (tile + 1) * kRowTile); ++r) {
      widen_rows(weight, r, 1, row.data(), weight.cols);
      for (Index j = 0; j < weight.cols; ++j) {
        const auto x = static_cast<double>(row[static_cast<std::size_t>(j)]);
        sum[j] += x * x;
      }
    }
  });
  std::vector<double> squares(static_cast<std::size_t>(weight.cols), 0.0);
  for (Index tile = 0; tile < tiles; ++tile)
    for (std::size_t j = 0; j < squares.size(); ++j) squares[j] += partial(tile, static_cast<Index>(j));
  require_finite(squares, weight.name);
  return squares;
}

/// Variance of one neuron's output and the parts its linear and quadratic term explain.
struct VarianceParts {
  double total = 0, linear = 0, quadratic = 0;
};

/// Of the gate's activation. x·sigmoid(1.702 x) is x from the clamp on, so that min(σ(a), clamp) is
/// σ(a) − relu(a − clamp), and its square misses relu² + 2 clamp relu.
ActivationMoments gate_moments(const ModelConfig& config, double mean, double v) {
  ActivationMoments e = activation_moments(config.activation, mean, v);
  const double clamp = config.ffn_clamp;
  if (clamp <= 0) return e;
  const ActivationMoments over = activation_moments(Activation::kRelu, mean - clamp, v);
  const ActivationMoments over2 = activation_moments(Activation::kRelu2, mean - clamp, v);
  e.e0 -= over.e0;
  e.e1 -= over.e1;
  e.e2 -= over.e2;
  e.e3 -= over.e3;
  // E[(a − μ) g] = v E[g'], E[(a − μ)² g] = v E[g] + v² E[g''].
  e.square0 -= over2.e0 + 2 * clamp * over.e0;
  e.square1 -= v * (over2.e1 + 2 * clamp * over.e1);
  e.square2 -= v * (over2.e0 + 2 * clamp * over.e0) + v * v * (over2.e2 + 2 * clamp * over.e2);
  return e;
}

}  // namespace

FfnInput ffn_input(const LayerWeights& layer, const ModelConfig& config, InputCovariance covariance,
                   double residual_rms) {
  const ArchitectureSpec& architecture = *config.architecture;
  FfnInput input;
  if (architecture.placement == NormPlacement::kOutput) {
    input.rms = residual_rms;
    return input;
  }
  const NormRoles norms = norms_by_role(layer, architecture);
  return input_of(architecture.placement == NormPlacement::kPost ? *norms.between : *norms.ffn_in, config,
                  covariance);
}

FfnInput input_of(const NormWeights& norm, const ModelConfig& config, InputCovariance covariance) {
  FfnInput input;
  if (covariance == InputCovariance::kIdentity || !norm.defined()) return input;
  input.gain.assign(norm.gain.begin(), norm.gain.end());
  input.shift.assign(norm.shift.begin(), norm.shift.end());
  input.centred = config.architecture->norm == NormKind::kLayerNorm;
  return input;
}

FfnFit fit_ffn(const LayerWeights& layer, const ModelConfig& config, InputCovariance covariance) {
  return fit_ffn(layer, config, ffn_input(layer, config, covariance));
}

FfnFit fit_ffn(const LayerWeights& layer, const ModelConfig& config, const FfnInput& input) {
  const bool gated = layer.ffn.gate.weight.defined();
  const LinearWeights& first = gated ? layer.ffn.gate : layer.ffn.up;
  const NeuronMoments m = neuron_moments(first, gated ? &layer.ffn.up : nullptr, input);
  const std::size_t neurons = m.v.size();
  FfnFit fit;
  fit.alpha.resize(neurons);
  fit.mean.resize(neurons);
  fit.p.resize(neurons);
  fit.strength.resize(neurons);
  if (gated) fit.beta.resize(neurons), fit.q.resize(neurons);
  std::vector<VarianceParts> parts(neurons);

  parallel_ranges(static_cast<Index>(neurons), kNeuronTile, [&](Index begin, Index end) {
    for (auto j = static_cast<std::size_t>(begin); j < static_cast<std::size_t>(end); ++j) {
      const double v = m.v[j];
      const ActivationMoments e = gate_moments(config, m.b1[j], v);
      VarianceParts& part = parts[j];
      if (!gated) {
        fit.alpha[j] = e.e1;
        fit.mean[j] = e.e0;
        fit.p[j] = e.e2;
        part.linear = e.e1 * e.e1 * v;
        part.quadratic = 0.5 * e.e2 * e.e2 * v * v;
        part.total = e.square0 - e.e0 * e.e0;
      } else {
        const double c = m.c[j], v3 = m.v3[j], b3 = m.b3[j] + config.architecture->up_offset;
        const double alpha = b3 * e.e1 + c * e.e2, beta = e.e0;
        const double p = b3 * e.e2 + c * e.e3, q = e.e1;
        fit.alpha[j] = alpha;
        fit.beta[j] = beta;
        fit.mean[j] = b3 * e.e0 + c * e.e1;
        fit.p[j] = p;
        fit.q[j] = q;
        part.linear = alpha * alpha * v + 2 * alpha * beta * c + beta * beta * v3;
        part.quadratic = 0.5 * p * p * v * v + 2 * p * q * v * c + q * q * (c * c + v * v3);
        const double kappa = v > 0 ? c / v : 0;
        const double rest = std::max(0.0, v3 - kappa * c);
        part.total = e.square0 * (b3 * b3 + rest) + 2 * b3 * kappa * e.square1 + kappa * kappa * e.square2 -
                     fit.mean[j] * fit.mean[j];
      }
      // Rounding alone could make the whole smaller than its parts.
      part.total = std::max(part.total, part.linear + part.quadratic);
    }
  });

  const std::vector<double> weights = column_squares(layer.ffn.down.weight);
  VarianceParts sum, weighted;
  for (std::size_t j = 0; j < neurons; ++j) {
    sum.total += parts[j].total, weighted.total += weights[j] * parts[j].total;
    sum.linear += parts[j].linear, weighted.linear += weights[j] * parts[j].linear;
    fit.strength[j] = std::sqrt(std::max(0.0, weights[j] * parts[j].linear));
    sum.quadratic += parts[j].quadratic, weighted.quadratic += weights[j] * parts[j].quadratic;
  }
  const auto share = [](double part, double total) { return total > 0 ? part / total : 0; };
  fit.variance = sum.total;
  fit.variance_weighted = weighted.total;
  fit.linear_share = share(sum.linear, sum.total);
  fit.quadratic_share = share(sum.quadratic, sum.total);
  fit.linear_share_weighted = share(weighted.linear, weighted.total);
  fit.quadratic_share_weighted = share(weighted.quadratic, weighted.total);
  return fit;
}

}  // namespace defectoscope
