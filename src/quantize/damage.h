#pragma once

#include <optional>
#include <span>
#include <vector>

#include "quantize/quantized_model.h"

namespace defectoscope {

struct ScanResult;

/// What quantizing one matmul does to its own output, everything before it exact.
struct ModuleDamage {
  ModuleId id;
  double relative_error = 0;  ///< root mean over tokens of ‖Δy‖² / ‖y‖²
  double input_max = 0;       ///< over all tokens: what the step comes from
  double ordinary_max =
      0;           ///< over ordinary tokens alone; equal to input_max where none was known as special
  Index rows = 0;  ///< inputs it was measured on; 0 for an expert that no token reached
};

/// Measured on a text: one pass of the unquantized model, every matmul beside its quantized self. In the
/// order of quantizable_modules.
std::vector<ModuleDamage> measure_damage(const Model& model, const QuantizedModelOptions& options,
                                         std::span<const std::int32_t> tokens, const WindowOptions& windows);

/// Forecast without text, from the weights and what scan found: each layer alone is run on states made up
/// from the scan (ordinary tokens: Gaussian directions of the layer's median norm; high-norm tokens: d̂ at the
/// largest norm seen there; at an explosion layer L's leading right singular vector, both signs) and its
/// matmuls are measured as above. Four windows of at most 64 tokens a layer. Deterministic in `seed`.
std::vector<ModuleDamage> forecast_damage(const Model& model, const QuantizedModelOptions& options,
                                          const ScanResult& scan, std::uint64_t seed);

/// Spearman's rank correlation (ties: mean ranks); nullopt for fewer than three values or constant ones.
std::optional<double> rank_correlation(std::span<const double> a, std::span<const double> b);

}  // namespace defectoscope
