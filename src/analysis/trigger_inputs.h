#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "linearize/layer_operator.h"
#include "linearize/maximiser.h"

namespace defectoscope {

/// An input direction that some method says the FFN amplifies most, and what the real FFN makes of it.
struct TriggerInput {
  std::vector<float> input;                    ///< [d] unit, of the sign that reaches more
  double norm = 0;                             ///< ‖FFN‖ there, at RealFfn::radius()
  std::vector<float> output;                   ///< [d] FFN there, unit; empty where it is zero
  std::optional<double> output_angle_degrees;  ///< output to the empirical direction
};

/// Three ways to an FFN's trigger (THEORY.md): F's leading right singular vector, the quadratic amplifier's
/// leading input, and the true maximiser of the output's norm over the sphere.
struct TriggerInputs {
  TriggerInput linear, quadratic, maximiser;
  double linear_quadratic_degrees = 0, linear_maximiser_degrees = 0, quadratic_maximiser_degrees = 0;
  double stationarity = 0;  ///< of the maximiser, see LocalMaximum
  bool converged = false;
  Index starts = 0;  ///< points the maximiser was sought from
};

/// The maximiser starts from F's leading 8 right singular vectors, what the strongest 4 neurons read and the
/// two leading quadratic inputs, of both signs, from 4 random points and from `more_starts` [k, d]; of the
/// ends the highest counts (of equal ones the first). It reaches at least what the linear and the quadratic
/// input reach. `direction` [d] unit or empty. Cost: some dozens of passes over the FFN.
TriggerInputs find_trigger_inputs(const LinearizedLayer& layer, const ModelConfig& config,
                                  ConstMatrixView more_starts, std::span<const float> direction,
                                  std::uint64_t seed);

}  // namespace defectoscope
