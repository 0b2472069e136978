#pragma once

#include "quantize/study_parts.h"

namespace defectoscope {

/// The matmuls of `study` in the order of the damage they do, worst first: by the KL each causes alone where
/// that is known, else by relative error, measured or (options.auto_from_forecast) forecast.
std::vector<ModuleId> by_damage(const QuantizeStudy& study, bool from_forecast);

/// The shortest beginning of by_damage whose skipping keeps RTN's perplexity within
/// options.target_increase of the unquantized model's, by bisection: perplexity falls along it but for noise.
/// Throws Error(kUsage) where only the unquantized model reaches the target.
SkipSearch search_skip_set(const Model& model, const QuantizeStudy& study, const StudyOptions& options,
                           MethodComparison& comparison);

}  // namespace defectoscope
