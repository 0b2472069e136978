#pragma once

#include <map>
#include <span>
#include <vector>

#include "forward/text_windows.h"
#include "quantize/module_id.h"

namespace defectoscope {

/// What calibration saw of every matmul's input: the largest magnitude of each channel. Matmuls that read the
/// same input (query, key, value; gate, up) share an entry.
class ActivationMaxima {
 public:
  /// [inputs of the matmul]
  const std::vector<float>& of(ModuleId id) const { return channels_.at(input_of(id)); }
  /// nullptr where nothing was recorded.
  const std::vector<float>* find(ModuleId id) const;
  /// Of the whole input.
  float largest(ModuleId id) const;
  std::vector<float>& entry(ModuleId id) { return channels_[input_of(id)]; }

  /// The first of the matmuls that read the same input: query for key and value, up for gate.
  static ModuleId input_of(ModuleId id);

 private:
  std::map<ModuleId, std::vector<float>> channels_;
};

/// Of a transformer whose dense matmuls record their inputs into `maxima`, which must outlive it.
TransformerOptions recording_options(ActivationMaxima& maxima, ComputeType compute);

/// Runs the unquantized model over a calibration text in windows of options.window (the text's length, where
/// that is shorter) side by side; one pass. Throws Error(kBadInput) on fewer than kFewestCalibrationTokens
/// tokens, whose maxima are no ranges.
ActivationMaxima calibrate(const Model& model, std::span<const std::int32_t> tokens, WindowOptions options,
                           ComputeType compute);
inline constexpr Index kFewestCalibrationTokens = 16;

}  // namespace defectoscope
