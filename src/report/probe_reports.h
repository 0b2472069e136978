#pragma once

#include "analysis/ablate.h"
#include "analysis/census.h"
#include "analysis/predictions.h"
#include "analysis/scan_result.h"
#include "analysis/trigger.h"
#include "report/analysis_report.h"

namespace defectoscope {

class Tokenizer;

/// Figures 6, 7, 20, 21: the vocabulary's norms after the explosion layers.
AnalysisOutput census_output(const ScanResult& scan, const Census& census, const Tokenizer& tokenizer);

/// Figures 8, 9, 22, 23: right singular vectors through the real FFN, coefficients on the explosion subspace,
/// and three ways to the trigger.
AnalysisOutput trigger_output(const ScanResult& scan, const Trigger& trigger, const Tokenizer& tokenizer);

/// Four predictions of the high-norm direction that look at no text, for every layer (beyond figure 4).
AnalysisOutput predictions_output(const ScanResult& scan, const std::vector<LayerPredictions>& predictions);

/// Figure 10: what remains when the explosion subspace is removed.
AnalysisOutput ablate_output(const ScanResult& scan, const AblationResult& result);

/// The section of census, trigger, predictions or ablate, without its content.
Section probe_section(const std::string& name);

/// The analysis that `section` is of has nothing to work on: the section is the sentence `why`, and the JSON
/// holds no layer.
AnalysisOutput nothing_output(const ScanResult& scan, Section section, const std::string& why);

}  // namespace defectoscope
