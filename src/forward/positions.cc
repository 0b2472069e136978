#include "forward/positions.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

#include "model/config.h"

namespace defectoscope {
namespace {

double llama3_scaled(double frequency, const RopeScaling& scaling) {
  const double turns = scaling.original_max_positions * frequency / (2 * std::numbers::pi);
  if (turns < scaling.low_frequency_factor) return frequency / scaling.factor;
  if (turns > scaling.high_frequency_factor) return frequency;
  const double keep =
      (turns - scaling.low_frequency_factor) / (scaling.high_frequency_factor - scaling.low_frequency_factor);
  return keep * frequency + (1 - keep) * frequency / scaling.factor;
}

/// The share of interpolation for each frequency: 0 up to the one that makes beta_fast turns, 1 from
/// beta_slow on.
std::vector<double> yarn_ramp(const ModelConfig& config) {
  const RopeScaling& scaling = config.rope_scaling;
  const auto dim = static_cast<double>(config.rotary_dim);
  const auto dimension_of = [&](double turns) {
    return dim * std::log(scaling.original_max_positions / (turns * 2 * std::numbers::pi)) /
           (2 * std::log(config.rope_base));
  };
  double low = dimension_of(scaling.beta_fast), high = dimension_of(scaling.beta_slow);
  if (scaling.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  std::vector<double> ramp;
  for (Index i = 0; i < config.rotary_dim / 2; ++i)
    ramp.push_back(std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0));
  return ramp;
}

std::vector<double> plain_frequencies(double base, Index rotary_dim) {
  std::vector<double> frequencies;
  for (Index i = 0; i < rotary_dim / 2; ++i)
    frequencies.push_back(std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(rotary_dim)));
  return frequencies;
}

}  // namespace

std::vector<double> rotary_frequencies(const ModelConfig& config, bool is_long) {
  if (!config.has_rotary()) return {};
  std::vector<double> frequencies = plain_frequencies(config.rope_base, config.rotary_dim);
  const RopeScaling& scaling = config.rope_scaling;
  switch (scaling.kind) {
    case RopeScaling::Kind::kNone:
      break;
    case RopeScaling::Kind::kFactors:
      for (std::size_t i = 0; i < frequencies.size(); ++i) frequencies[i] /= scaling.factors[i];
      break;
    case RopeScaling::Kind::kLinear:
      for (double& frequency : frequencies) frequency /= scaling.factor;
      break;
    case RopeScaling::Kind::kLlama3:
      for (double& frequency : frequencies) frequency = llama3_scaled(frequency, scaling);
      break;
    case RopeScaling::Kind::kYarn: {
      const std::vector<double> ramp = yarn_ramp(config);
      for (std::size_t i = 0; i < frequencies.size(); ++i)
        frequencies[i] *= 1 - ramp[i] + ramp[i] / scaling.factor;
      break;
    }
    case RopeScaling::Kind::kLongRope: {
      const std::vector<double>& factors = is_long ? scaling.long_factors : scaling.short_factors;
      for (std::size_t i = 0; i < frequencies.size(); ++i) frequencies[i] /= factors[i];
      break;
    }
  }
  return frequencies;
}

std::vector<double> local_rotary_frequencies(const ModelConfig& config) {
  if (!config.has_rotary() || config.local_rope_base == 0) return {};
  return plain_frequencies(config.local_rope_base, config.rotary_dim);
}

std::vector<float> make_alibi_slopes(Index heads) {
  const auto power = static_cast<Index>(std::bit_floor(static_cast<std::uint64_t>(heads)));
  std::vector<float> slopes;
  for (Index h = 1; h <= power; ++h)
    slopes.push_back(
        static_cast<float>(std::exp2(-8.0 * static_cast<double>(h) / static_cast<double>(power))));
  for (Index h = 1; static_cast<Index>(slopes.size()) < heads; h += 2)
    slopes.push_back(
        static_cast<float>(std::exp2(-4.0 * static_cast<double>(h) / static_cast<double>(power))));
  return slopes;
}

}  // namespace defectoscope
