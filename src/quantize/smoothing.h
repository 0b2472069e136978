#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "quantize/activation_maxima.h"

namespace defectoscope {

/// SmoothQuant's factors s_j = max|X_j|^α / max|W_j|^(1−α) (Xiao et al. 2023; THEORY.md, section 3). Both
/// maxima and s are kept at 1e-5 at least, as the authors' code does, so that dead channels divide by
/// nothing. Throws Error(kUsage) on α outside [0, 1].
std::vector<float> smoothing_factors(std::span<const float> input_maxima,
                                     std::span<const float> weight_maxima, double alpha);

/// The matmuls of a layer that one norm feeds: query, key, value (MLA: its projections to latents); gate and
/// up, of all experts; MLA's projections from a latent; or all of the first two where they share a norm.
struct SmoothedGroup {
  std::vector<ModuleId> modules;
  std::vector<float> factors;  ///< [inputs]
};

/// A model with SmoothQuant folded in: each norm's gain and shift divided by s, the columns of the matrices
/// it feeds multiplied by it. A router and the switch of a shared expert read the same norm: their columns
/// are multiplied too, so that they choose as before, but they have no say in s. Its outputs are the
/// original's up to rounding; smoothed tensors are kept in f32.
struct SmoothedModel {
  std::unique_ptr<const Model> model;  ///< borrows the original's checkpoint
  std::vector<SmoothedGroup> groups;
  std::vector<std::string> notes;  ///< what the family has no norm for
};

/// Families without a norm before their matmuls (BERT, OLMo-2) come back as they are, with a note. `maxima`
/// from calibrate() on the same model. Smoothed tensors are made when they are asked for, at four bytes a
/// weight. `model` must outlive the result.
SmoothedModel smooth(const Model& model, const ActivationMaxima& maxima, double alpha);

/// The maxima the smoothed model's inputs have: channel j's divided by s_j where the norm feeds it.
ActivationMaxima smoothed_maxima(const ActivationMaxima& maxima, const std::vector<SmoothedGroup>& groups);

}  // namespace defectoscope
