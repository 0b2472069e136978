#include "forward/positions.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

#include "model/config.h"

namespace defectoscope {
namespace {

/// How much of channel i's own frequency YaRN keeps; the rest is divided by the factor.
double yarn_share(const ModelConfig& config, Index i) {
  const RopeScaling& scaling = config.rope_scaling;
  const auto dim = static_cast<double>(config.rotary_dim);
  const auto channel_turning = [&](double turns) {
    return dim * std::log(scaling.original_max_positions / (turns * 2 * std::numbers::pi)) /
           (2 * std::log(config.rope_base));
  };
  double low = channel_turning(scaling.beta_fast), high = channel_turning(scaling.beta_slow);
  if (scaling.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (high == low) high += 0.001;
  return 1 - std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
}

double scaled(double frequency, const RopeScaling& scaling) {
  switch (scaling.kind) {
    case RopeScaling::Kind::kYarn:  // by the channel, not the frequency
    case RopeScaling::Kind::kNone:
    case RopeScaling::Kind::kFactors:
      return frequency;
    case RopeScaling::Kind::kLinear:
      return frequency / scaling.factor;
    case RopeScaling::Kind::kLlama3:
      break;
  }
  const double turns = scaling.original_max_positions * frequency / (2 * std::numbers::pi);
  if (turns < scaling.low_frequency_factor) return frequency / scaling.factor;
  if (turns > scaling.high_frequency_factor) return frequency;
  const double keep =
      (turns - scaling.low_frequency_factor) / (scaling.high_frequency_factor - scaling.low_frequency_factor);
  return keep * frequency + (1 - keep) * frequency / scaling.factor;
}

}  // namespace

std::vector<double> rotary_frequencies(const ModelConfig& config) {
  const PositionKind kind = config.architecture->position;
  if (kind != PositionKind::kRotaryHalf && kind != PositionKind::kRotaryInterleaved) return {};
  std::vector<double> frequencies;
  for (Index i = 0; i < config.rotary_dim / 2; ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(config.rotary_dim);
    double frequency = scaled(std::pow(config.rope_base, exponent), config.rope_scaling);
    if (config.rope_scaling.kind == RopeScaling::Kind::kYarn) {
      const double share = yarn_share(config, i);
      frequency = share * frequency + (1 - share) * frequency / config.rope_scaling.factor;
    }
    if (config.rope_scaling.kind == RopeScaling::Kind::kFactors)
      frequency /= config.rope_scaling.factors[static_cast<std::size_t>(i)];
    frequencies.push_back(frequency);
  }
  return frequencies;
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
