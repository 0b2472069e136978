#pragma once

#include <vector>

#include "analysis/decay.h"
#include "analysis/scan.h"

namespace defectoscope {

/// The part of a scan that needs the forward pass: landscape, high norms, life cycle. Fills `result`'s fields
/// of that name (hidden_size, layers and parameters must be there already) and returns what the real layers
/// do to their high-norm inputs, [layers], or nothing where no state is high. Throws as scan() does.
std::vector<DecayRatio> analyse_states(const Model& model, const Tokenizer& tokenizer,
                                       const ScanOptions& options, ScanJournal& journal, ScanResult& result);

}  // namespace defectoscope
