#include "linearize/mixture.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "base/error.h"
#include "base/random.h"
#include "kernels/block_apply.h"
#include "model/router.h"

namespace defectoscope {
namespace {

constexpr Index kDraws = 4096, kSinkDraws = 256, kBlock = 64;
constexpr std::uint64_t kSeed = 0x6d697874757265;

/// Draws [first, first + count) of the distribution.
Matrix draw_inputs(const FfnInput& input, Index first, Index count, Index d) {
  Matrix x(count, d);
  for (Index r = 0; r < count; ++r) {
    Random random(kSeed, static_cast<std::uint64_t>(first + r));
    const std::span<float> row = x.row(r);
    std::vector<double> z(row.size());
    for (double& value : z) value = random.normal();
    const double mean = input.centred ? std::accumulate(z.begin(), z.end(), 0.0) / static_cast<double>(d) : 0;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const double gain = input.rms * (input.gain.empty() ? 1.0 : input.gain[i]);
      row[i] = static_cast<float>(gain * (z[i] - mean) + (input.shift.empty() ? 0.0 : input.shift[i]));
    }
  }
  return x;
}

Matrix applied(const LinearWeights& linear, const Matrix& x) {
  Matrix y(x.rows(), linear.weight.rows);
  block_apply(linear.weight, x, y);
  for (Index r = 0; r < y.rows(); ++r)
    for (std::size_t j = 0; j < linear.bias.size(); ++j) y.row(r)[j] += linear.bias[j];
  return y;
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

FfnPart make_part(const FfnWeights& weights, double weight, const ModelConfig& config,
                  const LinearizeOptions& options, const FfnInput& input) {
  FfnPart part{weights, weight, {}, {}, {}, {}};
  LayerWeights alone;
  alone.ffn = weights;
  part.fit = fit_ffn(alone, config, input);
  const auto scaled = [&](double value) { return static_cast<float>(weight * value); };
  std::ranges::transform(part.fit.alpha, std::back_inserter(part.alpha), scaled);
  std::ranges::transform(part.fit.beta, std::back_inserter(part.beta), scaled);
  if (options.samples > 0) {
    const SampledFit sampled =
        sample_ffn(alone, config, input, options.samples, options.seed, !options.paper_parity);
    Matrix narrow(sampled.f1.rows(), sampled.f1.cols());
    std::transform(sampled.f1.data(), sampled.f1.data() + sampled.f1.rows() * sampled.f1.cols(),
                   narrow.data(), scaled);
    part.sampled_f1 = make_weight_matrix(narrow, "F1");
  }
  return part;
}

}  // namespace

ExpertShares expert_shares(const ExpertWeights& weights, const ModelConfig& config, const FfnInput& input) {
  ExpertShares shares{std::vector<double>(weights.experts.size(), 0.0), 1};
  const bool switched = weights.shared_switch.weight.defined();
  double open = 0;
  for (Index first = 0; first < kDraws; first += kBlock) {
    const Matrix x = draw_inputs(input, first, kBlock, config.hidden_size);
    const Matrix logits = applied(weights.router, x);
    for (Index r = 0; r < kBlock; ++r)
      for (const RoutedExpert& one : route(config, logits.row(r), weights.selection_bias))
        shares.experts[static_cast<std::size_t>(one.expert)] += one.weight / kDraws;
    if (!switched) continue;
    const Matrix switches = applied(weights.shared_switch, x);
    for (Index r = 0; r < kBlock; ++r) open += sigmoid(static_cast<double>(switches(r, 0))) / kDraws;
  }
  if (switched) shares.shared = open;
  return shares;
}

std::vector<FfnPart> ffn_parts(const LayerWeights& layer, const ModelConfig& config,
                               const LinearizeOptions& options, const FfnInput& input) {
  std::vector<FfnPart> parts;
  const ExpertWeights& experts = layer.experts;
  if (!experts.defined()) {
    parts.push_back(make_part(layer.ffn, 1, config, options, input));
    return parts;
  }
  const auto count = static_cast<Index>(experts.experts.size());
  if (options.expert && (*options.expert < 0 || *options.expert >= count))
    throw_bad_input({.what = "no such expert",
                     .tensor = experts.router.weight.name,
                     .expected = "0 to " + std::to_string(count - 1),
                     .got = std::to_string(*options.expert)});
  if (options.expert) {
    parts.push_back(
        make_part(experts.experts[static_cast<std::size_t>(*options.expert)], 1, config, options, input));
    return parts;
  }
  ExpertShares shares = expert_shares(experts, config, input);
  if (!options.expert_weights.empty()) shares.experts = options.expert_weights;
  assert(static_cast<Index>(shares.experts.size()) == count);
  for (std::size_t e = 0; e < experts.experts.size(); ++e)
    if (shares.experts[e] > 0)
      parts.push_back(make_part(experts.experts[e], shares.experts[e], config, options, input));
  if (experts.shared.up.weight.defined())
    parts.push_back(make_part(experts.shared, shares.shared, config, options, input));
  return parts;
}

FfnFit combined_fit(const std::vector<FfnPart>& parts) {
  if (parts.size() == 1 && parts[0].weight == 1) return parts[0].fit;
  FfnFit all;
  const auto append = [](std::vector<double>& to, const std::vector<double>& from, double factor = 1) {
    for (const double value : from) to.push_back(factor * value);
  };
  for (const FfnPart& part : parts) {
    const FfnFit& fit = part.fit;
    append(all.alpha, fit.alpha);
    append(all.beta, fit.beta);
    append(all.mean, fit.mean);
    append(all.strength, fit.strength, part.weight);
    append(all.p, fit.p);
    append(all.q, fit.q);
    const double variance = part.weight * part.weight * fit.variance;
    const double weighted = part.weight * part.weight * fit.variance_weighted;
    all.variance += variance;
    all.variance_weighted += weighted;
    all.linear_share += variance * fit.linear_share;
    all.quadratic_share += variance * fit.quadratic_share;
    all.linear_share_weighted += weighted * fit.linear_share_weighted;
    all.quadratic_share_weighted += weighted * fit.quadratic_share_weighted;
  }
  const auto divide = [](double& share, double by) { share = by > 0 ? share / by : 0; };
  divide(all.linear_share, all.variance);
  divide(all.quadratic_share, all.variance);
  divide(all.linear_share_weighted, all.variance_weighted);
  divide(all.quadratic_share_weighted, all.variance_weighted);
  return all;
}

NormForm latent_form(const LatentWeights& latent, const ModelConfig& config, const FfnInput& input,
                     bool paper_parity) {
  NormForm form;
  form.gain = latent.kv_norm.gain;
  if (paper_parity) return form;
  std::vector<double> metric(static_cast<std::size_t>(config.hidden_size), input.rms * input.rms);
  for (std::size_t i = 0; i < input.gain.size(); ++i) metric[i] *= input.gain[i] * input.gain[i];
  const RowMoments sums = row_moments(latent.kv.weight, nullptr, metric, {});
  const double square = std::accumulate(sums.v.begin(), sums.v.end(), 0.0);
  if (square > 0) form.scale = static_cast<float>(std::sqrt(static_cast<double>(config.kv_latent) / square));
  return form;
}

std::vector<float> sink_shares(const AttentionWeights& attention, const ModelConfig& config,
                               const FfnInput& input) {
  std::vector<double> sums(static_cast<std::size_t>(config.heads), 0.0);
  const Index dim = config.head_dim, group = config.heads / config.kv_heads;
  const double scale = config.rope_scaling.magnitude * config.rope_scaling.magnitude * config.attention_scale;
  for (Index first = 0; first < kSinkDraws; first += kBlock) {
    const Matrix x = draw_inputs(input, first, kBlock, config.hidden_size);
    const Matrix query = applied(attention.query, x), key = applied(attention.key, x);
    for (Index r = 0; r < kBlock; ++r)
      for (Index h = 0; h < config.heads; ++h) {
        double score = 0;
        for (Index i = 0; i < dim; ++i)
          score +=
              static_cast<double>(query(r, h * dim + i)) * static_cast<double>(key(r, h / group * dim + i));
        const auto at = static_cast<std::size_t>(h);
        sums[at] += sigmoid(scale * score - static_cast<double>(attention.sinks[at])) / kSinkDraws;
      }
  }
  return {sums.begin(), sums.end()};
}

}  // namespace defectoscope
