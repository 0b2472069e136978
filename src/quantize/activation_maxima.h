#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "analysis/journal.h"
#include "forward/text_windows.h"
#include "quantize/module_id.h"

namespace defectoscope {

/// What calibration saw of every matmul's input: the largest magnitude of each channel. Matmuls that read the
/// same input share an entry: query, key, value (and MLA's projections to its latents); gate and up, of all
/// experts of a layer, since every token's input may reach any of them; MLA's key and value.
class ActivationMaxima {
 public:
  /// [inputs of the matmul]
  const std::vector<float>& of(ModuleId id) const { return channels_.at(input_of(id)); }
  /// nullptr where nothing was recorded.
  const std::vector<float>* find(ModuleId id) const;
  /// Of the whole input. Where no token reached an expert, of what reached the other experts of its layer.
  float largest(ModuleId id) const;
  std::vector<float>& entry(ModuleId id) { return channels_[input_of(id)]; }
  /// What was recorded so far, in a journal's record and back; reading keeps the addresses of entries.
  void write(RecordWriter& record) const;
  void read(RecordReader& record);

  /// The one that stands for all matmuls that read the same input: query for key and value, up (of no expert)
  /// for gate.
  static ModuleId input_of(ModuleId id);

 private:
  std::map<ModuleId, std::vector<float>> channels_;
};

/// Experts whose down projection got no input.
Index unmet_experts(const Model& model, const ActivationMaxima& maxima);
/// A sentence about them for whom it concerns; empty where there are none.
std::string unmet_experts_note(const Model& model, const ActivationMaxima& maxima);

/// Of a transformer whose dense matmuls record their inputs into `maxima`, which must outlive it.
TransformerOptions recording_options(ActivationMaxima& maxima, ComputeType compute);

/// Runs the unquantized model over a calibration text in windows of options.window (the text's length, where
/// that is shorter) side by side; one pass. Throws Error(kBadInput) on fewer than kFewestCalibrationTokens
/// tokens, whose maxima are no ranges.
ActivationMaxima calibrate(const Model& model, std::span<const std::int32_t> tokens, WindowOptions options,
                           ComputeType compute);
inline constexpr Index kFewestCalibrationTokens = 16;

}  // namespace defectoscope
