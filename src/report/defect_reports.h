#pragma once

#include <string>
#include <vector>

#include "analysis/decay_corollary.h"
#include "analysis/high_norm_detail.h"
#include "analysis/layer_directions.h"
#include "analysis/text_norms.h"
#include "quantize/outlier_channels.h"
#include "report/analysis_report.h"

namespace defectoscope {

/// Figures 1, 2, 13, 16, 17. `without_start` is empty where the tokenizer adds no start token.
AnalysisOutput norms_output(const ScanResult& scan, const std::string& text, const TextNorms& with_start,
                            const std::optional<TextNorms>& without_start);
/// Table 2 and section 3.1.
AnalysisOutput high_norm_output(const ScanResult& scan, const HighNormDetail& detail,
                                const std::vector<OutlierChannels>& matmul_inputs);
/// Figures 4 and 18.
AnalysisOutput singular_output(const ScanResult& scan, const AccumulatedDirections& directions);
/// Figures 5 and 19.
AnalysisOutput decay_output(const ScanResult& scan, const std::vector<DecayCorollary>& corollary);

}  // namespace defectoscope
