#pragma once

#include <span>
#include <string>

#include "forward/perplexity.h"

namespace defectoscope {

class ScanJournal;

/// perplexity(), each completed pass over some windows kept in the journal under `<name>-<first window>`: an
/// interrupted run goes on at the pass it was in, and ends with the same sums. The journal's key and `name`
/// must tell model, text and windows.
Perplexity kept_perplexity(const Transformer& transformer, std::span<const std::int32_t> tokens,
                           const WindowOptions& options, ScanJournal& journal, const std::string& name);

}  // namespace defectoscope
