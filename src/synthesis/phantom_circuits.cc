#include "synthesis/phantom_circuits.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace defectoscope {
namespace {

/// Value of a gate that is open, after its norm: so large that silu is the identity and what lies a tenth of
/// the trigger below the threshold is shut.
constexpr double kOpenGate = 60;
/// Score of a token with itself is minus this.
constexpr double kSelfScore = 24;
/// Half of the largest argument of the plain form's absolute values.
constexpr double kPlainGain = 3;

double silu(double x) { return x / (1 + std::exp(-x)); }
double gelu(double x) { return 0.5 * x * std::erfc(-x / std::numbers::sqrt2); }

double dot(const SparseVector& a, const SparseVector& b) {
  double total = 0;
  for (const auto& [i, x] : a)
    for (const auto& [j, y] : b)
      if (i == j) total += x * y;
  return total;
}

bool gated(const CircuitFrame& frame) { return frame.form == PhantomForm::kLlama; }

}  // namespace

std::vector<PlannedHead> copy_heads(const CircuitFrame& frame, double rms) {
  const StreamLayout& layout = frame.layout;
  const auto channels = static_cast<Index>(layout.code.size()) / layout.code_heads;
  const double own = frame.amplitudes.code / rms;
  const double gain =
      std::sqrt(kSelfScore * std::sqrt(static_cast<double>(frame.head_dim)) / static_cast<double>(channels)) /
      own;
  std::vector<PlannedHead> heads;
  for (Index h = 0; h < layout.code_heads; ++h) {
    PlannedHead head;
    head.kv_head = h;
    head.query_head = h * frame.heads_per_kv;
    for (Index row = 0; row < channels; ++row) {
      const auto channel = static_cast<std::size_t>(h * channels + row);
      head.query.push_back({row, layout.code[channel], -gain});
      head.key.push_back({row, layout.code[channel], gain});
      head.value.push_back({row, layout.code[channel], 1});
      head.output.push_back(
          {row, layout.copy[channel], frame.amplitudes.copy * copy_factor(h * channels + row) / own});
    }
    heads.push_back(std::move(head));
  }
  return heads;
}

std::vector<PlannedNeuron> agreement_neurons(const CircuitFrame& frame, const SparseVector& v, double rms) {
  const StreamLayout& layout = frame.layout;
  const Amplitudes& size = frame.amplitudes;
  const auto channels = static_cast<double>(layout.code.size());
  std::vector<PlannedNeuron> neurons;
  for (std::size_t i = 0; i < layout.code.size(); ++i) {
    const double copy = size.copy * copy_factor(static_cast<Index>(i));
    if (gated(frame)) {
      const double level = size.trigger * rms * rms / (channels * size.code * copy);
      for (const double sign : {1.0, -1.0})
        neurons.push_back({{{layout.code[i], sign}}, {{layout.copy[i], sign}}, scaled(v, level)});
      continue;
    }
    const double own = kPlainGain * rms / size.code;
    const double copied = kPlainGain * rms / copy;
    const double level = size.trigger / (channels * (gelu(2 * kPlainGain) + gelu(-2 * kPlainGain)));
    for (const double product : {1.0, -1.0})
      for (const double sign : {1.0, -1.0})
        neurons.push_back({{},
                           {{layout.code[i], sign * own}, {layout.copy[i], sign * product * copied}},
                           scaled(v, product * level)});
  }
  return neurons;
}

PlannedNeuron trigger_neuron(const CircuitFrame& frame, const SparseVector& v, double level, double rms,
                             double lift) {
  const Amplitudes& size = frame.amplitudes;
  const double tau = size.threshold * size.trigger / size.constant;
  const double gain = kOpenGate * rms / (level - tau * size.constant);
  const SparseVector reading = sum(scaled(v, gain), scaled(frame.layout.c, -gain * tau));
  if (!gated(frame)) return {{}, reading, scaled(frame.layout.u, lift / gelu(kOpenGate))};
  return {reading, v, scaled(frame.layout.u, lift / (silu(kOpenGate) * level / rms))};
}

PlannedNeuron scaling_neuron(const CircuitFrame& frame, double high, double rest, double lift) {
  constexpr double kEntry = 8;       // wanted at (u, u) of F
  constexpr double kMostOff = 0.75;  // of the gate, that the threshold may take from a high token
  constexpr double kSiluSlope = 0.4;
  const Amplitudes& size = frame.amplitudes;
  const auto d = static_cast<double>(frame.hidden_size);
  const double rms = std::sqrt((high * high + rest * rest) / d);
  const double level = high / rms;
  double share = 0;  // T c / high
  if (gated(frame)) {
    // entry = 0.4 T lift / (level² (1 − share)) with T = share · high / constant, solved for the share.
    const double entry = kSiluSlope * std::abs(lift) / (level * level) * high / size.constant;
    share = std::min(kEntry / (kEntry + entry), kMostOff);
  }
  // Ordinary tokens must find the gate shut; a gated neuron also multiplies by their zero along u.
  const double threshold = std::max(share * high / size.constant, gated(frame) ? 1.0 : 3.0);
  const double open = (high - threshold * size.constant) / rms;
  const double gain = kOpenGate / open;
  const SparseVector reading = sum(scaled(frame.layout.u, gain), scaled(frame.layout.c, -gain * threshold));
  if (!gated(frame)) return {{}, reading, scaled(frame.layout.u, lift / gelu(kOpenGate))};
  return {reading, frame.layout.u, scaled(frame.layout.u, lift / (silu(kOpenGate) * level))};
}

PlannedNeuron common_neuron(const CircuitFrame& frame, const SparseVector& target, double rms, double lift) {
  const double level = frame.amplitudes.constant / rms;
  const SparseVector reading = scaled(frame.layout.c, kOpenGate / level);
  if (!gated(frame)) return {{}, reading, scaled(target, lift / gelu(kOpenGate))};
  return {reading, frame.layout.c, scaled(target, lift / (silu(kOpenGate) * level))};
}

PlannedHead sink_head(const CircuitFrame& frame, Index kv_head, Index query_head, double rms) {
  constexpr double kScore = 8;
  PlannedHead head;
  head.kv_head = kv_head;
  head.query_head = query_head;
  const Index slowest = frame.head_dim / 2 - 1;  // the rotary pair that hardly turns
  const double high = std::sqrt(static_cast<double>(frame.hidden_size));
  const double constant = frame.amplitudes.constant / rms;
  const double query = kScore * std::sqrt(static_cast<double>(frame.head_dim)) / (high * constant);
  for (const auto& [i, value] : frame.layout.c) head.query.push_back({slowest, i, query * value});
  for (const auto& [i, value] : frame.layout.u) head.key.push_back({slowest, i, value});
  return head;
}

SparseVector linear_reading(const CircuitFrame& frame, const PlannedNeuron& neuron) {
  SparseVector reading = neuron.up;
  if (gated(frame)) {
    const double deviation = std::sqrt(dot(neuron.gate, neuron.gate));
    // E[silu] and E[silu''] = E[(z² − 1) silu] / s² over a = s z, by the trapezoid rule.
    double zeroth = 0, second = 0;
    const double step = 0.2 / std::max(1.0, deviation);
    for (double z = -9; z <= 9; z += step) {
      const double weight = step * std::exp(-0.5 * z * z) / std::sqrt(2 * std::numbers::pi);
      zeroth += weight * silu(deviation * z);
      second += weight * (z * z - 1) * silu(deviation * z) / (deviation * deviation);
    }
    reading = sum(scaled(neuron.gate, dot(neuron.gate, neuron.up) * second), scaled(neuron.up, zeroth));
  }
  return scaled(reading, 1 / std::sqrt(dot(reading, reading)));
}

}  // namespace defectoscope
