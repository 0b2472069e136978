#pragma once

#include <vector>

#include "analysis/calibration.h"
#include "analysis/scan.h"

namespace defectoscope {

/// How a scan with these options calibrates a model of so many parameters.
CalibrationOptions calibration_options(const ScanOptions& options, Index parameters);

/// The first batches of the rows a scan with these options calibrates on, until they hold `enough_tokens` or
/// end; never empty. Sampled rows come from the scan's journal where it has them. Throws as Calibration does.
std::vector<std::vector<TokenIds>> calibration_batches(const Transformer& transformer,
                                                       const Tokenizer& tokenizer, const ScanOptions& options,
                                                       Index parameters, Index enough_tokens,
                                                       ScanJournal& journal);

}  // namespace defectoscope
