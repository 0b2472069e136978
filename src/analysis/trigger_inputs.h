#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "forward/transformer.h"
#include "linearize/layer_operator.h"
#include "linearize/maximiser.h"

namespace defectoscope {

/// An input direction that some method says the FFN amplifies most, and what the real FFN makes of it.
struct TriggerInput {
  std::vector<float> input;                    ///< [d] unit, of the sign that reaches more
  double norm = 0;                             ///< ‖FFN‖ there, at ffn_radius()
  std::vector<float> output;                   ///< [d] FFN there, unit; empty where it is zero
  std::optional<double> output_angle_degrees;  ///< output to the empirical direction
};

/// Three ways to an FFN's trigger (THEORY.md): F's leading right singular vector, the quadratic amplifier's
/// leading input, and the true maximiser of the output's norm over the sphere. Layers with experts have no
/// maximiser: which experts answer changes along the way, and with it the function that would be climbed.
struct TriggerInputs {
  TriggerInput linear, quadratic, maximiser;
  bool has_maximiser = true;  ///< false: `maximiser` is empty, and what follows of it
  double linear_quadratic_degrees = 0;
  std::optional<double> linear_maximiser_degrees, quadratic_maximiser_degrees;
  double stationarity = 0;  ///< of the maximiser, see LocalMaximum
  bool converged = false;
  Index starts = 0;  ///< points the maximiser was sought from
};

/// Of layer_index (0-based), whose linear form `layer` is. The maximiser starts from F's leading 8 right
/// singular vectors, what the strongest 4 neurons read and the two leading quadratic inputs, of both signs,
/// from 4 random points and from `more_starts` [k, d]; of the ends the highest counts (of equal ones the
/// first). It reaches at least what the linear and the quadratic input reach. `direction` [d] unit or empty.
/// Cost: some dozens of passes over the FFN.
TriggerInputs find_trigger_inputs(const Transformer& transformer, Index layer_index,
                                  const LinearizedLayer& layer, ConstMatrixView more_starts,
                                  std::span<const float> direction, std::uint64_t seed);

}  // namespace defectoscope
