#pragma once

#include "analysis/scan_result.h"
#include "report/analysis_report.h"

namespace defectoscope {

/// What a scan's page shows: facts, cards, sections norms, high-norm, singular, decay, trust, layers.
ModelPage scan_page(const ScanResult& result);

/// Of the model a scan describes.
ModelFacts model_facts(const ScanResult& result);

// Parts that the pages of single analyses share.
std::vector<Mark> life_cycle_marks(const ScanResult& result);
Axis layer_axis(const ScanResult& result, bool embedding);
/// "2, 9", the layers' numbers.
std::string layer_list(const std::vector<FoundLayer>& layers);
Chart landscape_chart(const NormLandscape& landscape, const std::string& id, const std::string& title,
                      const std::string& sentence);
Chart singular_angle_chart(const ScanResult& result);
Chart decay_eigenvalue_chart(const ScanResult& result);
Table spike_token_table(const ScanResult& result);

}  // namespace defectoscope
