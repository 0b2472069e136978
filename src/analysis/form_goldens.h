#pragma once

#include <string>
#include <vector>

#include "forward/golden.h"
#include "linearize/layer_operator.h"

namespace defectoscope {

/// How the linear forms of a golden's first two layers lie beside transformers' own
/// (tools/golden_forms.py, src/linearize/testdata/forms).
struct FormErrors {
  double attention = 0;  ///< largest ‖ours − theirs‖ / ‖theirs‖ of A w over layers and directions w
  /// (ours − theirs) / standard error of every component of every F w, and of every mean that A and F take
  /// in: routers' weights, sinks' shares, the size of what an output norm divides by.
  std::vector<double> deviations;

  double largest() const;      ///< of the deviations, as absolute values
  double mean_square() const;  ///< of the deviations: near 1 where only chance is between the two
};

/// Names of the goldens, sorted: NAME.json of src/forward/testdata.
std::vector<std::string> golden_names();

FormErrors form_errors(const Golden& golden, const Model& model, const LinearizeOptions& options = {});

}  // namespace defectoscope
