#pragma once

#include <vector>

#include "synthesis/phantom_plan.h"

namespace defectoscope {

/// What the circuits below are built on. A norm divides the stream by `rms` before attention or the FFN sees
/// it.
struct CircuitFrame {
  PhantomForm form;
  Index hidden_size;
  Index head_dim;
  Index heads_per_kv;
  const StreamLayout& layout;
  const Amplitudes& amplitudes;
};

/// Heads with q = −β·code, k = code: a token never attends itself unless it is alone; the attended code goes
/// into the copy channels.
std::vector<PlannedHead> copy_heads(const CircuitFrame& frame, double rms);

/// Neurons whose sum is trigger · (own code · copied code) / K along v: K for a lone token, about √K
/// otherwise. Gated: a·b = silu(a)b + silu(−a)(−b). Plain: 2ab = |a + b| − |a − b| for |b| ≤ |a|, |z| ≈
/// gelu(z) + gelu(−z).
std::vector<PlannedNeuron> agreement_neurons(const CircuitFrame& frame, const SparseVector& v, double rms);

/// gate = v − τc, up = v (plain: up = v − τc): writes `lift` along u for a token that has `level` along v,
/// nothing below the threshold.
PlannedNeuron trigger_neuron(const CircuitFrame& frame, const SparseVector& v, double level, double rms,
                             double lift);

/// gate = u − Tc, up = u: adds `lift` (negative: decay) along u to a token that has `high` there and `rest`
/// (norm) elsewhere; T is chosen so that the closed-form F has an entry of about ±8 at (u, u).
PlannedNeuron scaling_neuron(const CircuitFrame& frame, double high, double rest, double lift);

/// gate = up = c: writes `lift` along `target` for every token alike.
PlannedNeuron common_neuron(const CircuitFrame& frame, const SparseVector& target, double rms, double lift);

/// A head in which tokens attend those that are high along u: scores of about 8.
PlannedHead sink_head(const CircuitFrame& frame, Index kv_head, Index query_head, double rms);

/// The unit vector that the closed-form fit of the neuron reads (THEORY: alpha·w1 + beta·w3, Σ = I), which is
/// the right singular vector of an F this neuron rules.
SparseVector linear_reading(const CircuitFrame& frame, const PlannedNeuron& neuron);

}  // namespace defectoscope
