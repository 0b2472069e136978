#pragma once

#include <memory>
#include <string>
#include <vector>

#include "quantize/quantized_model.h"
#include "quantize/smoothing.h"

namespace defectoscope {

/// One way to quantize a model: a row of the table.
struct QuantMethod {
  std::string name;       ///< "RTN, skip"
  bool quantizes = true;  ///< false: the model as it is
  QuantScheme scheme;
  bool smooth = false;  ///< SmoothQuant first
  double alpha = 0.5;
  ModuleSet skipped;
};

/// The methods a user may name: none, rtn, smoothquant, llm-int8, per-token, fp8. Throws Error(kUsage),
/// listing them, on another name.
QuantMethod method_named(const std::string& name);
std::vector<std::string> method_names();

/// A model quantized by a method, ready to run. Borrows model and maxima.
class QuantizedModel {
 public:
  /// `maxima`: of the unsmoothed model; needed by SmoothQuant and static steps, else Error(kUsage).
  /// `window`: rows of one window in a pass. Weights are quantized when a layer first runs.
  QuantizedModel(const Model& model, const QuantMethod& method, const ActivationMaxima* maxima, Index window,
                 ComputeType compute);

  const Transformer& transformer() const { return *transformer_; }
  /// Of the weights as the method would store them.
  Index bytes() const { return bytes_; }
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  SmoothedModel smoothed_;
  ActivationMaxima smoothed_maxima_;
  std::unique_ptr<Transformer> transformer_;
  std::vector<std::string> notes_;
  Index bytes_ = 0;
};

}  // namespace defectoscope
