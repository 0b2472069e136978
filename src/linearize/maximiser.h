#pragma once

#include <vector>

#include "linearize/real_ffn.h"

namespace defectoscope {

struct MaximiserOptions {
  Index max_steps = 400;  ///< evaluations of value and gradient a start may take
  /// Tangential gradient times radius over value at which a start has arrived: what values in f32, good to
  /// 1e-7, can still tell apart; near an isolated maximum some hundredths of a degree.
  double tolerance = 1e-3;
};

/// A local maximum of ‖FFN(x)‖ over the sphere of radius ffn.radius().
struct LocalMaximum {
  std::vector<float> x;       ///< [d], unit
  double value = 0;           ///< ‖FFN(radius · x)‖
  double start_value = 0;     ///< the same at the start it was reached from
  double stationarity = 0;    ///< ‖tangential gradient‖ · radius / value
  bool converged = false;     ///< stationarity reached the tolerance
  std::vector<float> output;  ///< [d] FFN(radius · x), unit; empty where it is zero
};

/// Ascends from each row of `starts` [k, d] (not zero; their length does not matter): conjugate gradients on
/// the sphere (Polak-Ribière, with backtracking until the Armijo condition holds), so that no value is below
/// its start's. One result a start, in their order. Cost: two passes over gate, up and down a step and 8
/// starts. Deterministic.
std::vector<LocalMaximum> ascend(const RealFfn& ffn, ConstMatrixView starts, const MaximiserOptions& options);

}  // namespace defectoscope
