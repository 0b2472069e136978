#pragma once

#include <span>
#include <vector>

#include "quantize/quantized_linear.h"

namespace defectoscope {

/// The steps a matmul's input is quantized with, a row each.
struct InputSteps {
  std::vector<float> steps;   ///< [m]
  std::vector<Index> broken;  ///< rows that hold NaN or infinity
};

/// How many of a call's rows, from `begin` on, stand in the same window; `places` as for Linear::apply_at.
Index rows_of_window(Index begin, Index rows, std::span<const Index> places, Index window);

/// `levels`: what the maximum becomes, 127 for 8 bits. Dynamic steps are over a row (kChannel) or over the
/// window it is in (kTensor); static ones are options.input_max / levels.
InputSteps input_steps(ConstMatrixView x, std::span<const Index> places, const QuantScheme& scheme,
                       const QuantizedLinearOptions& options, int levels);

/// Sets these rows of y to NaN.
void break_rows(std::span<const Index> rows, MatrixView y);

}  // namespace defectoscope
