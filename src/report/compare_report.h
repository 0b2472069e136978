#pragma once

#include <filesystem>

#include "report/page.h"

namespace defectoscope {

/// What a result folder of `scan` or an analysis shows, from its sections.json. Throws Error(kBadInput) where
/// there is none, or one that this program did not write.
ModelPage read_result_page(const std::filesystem::path& folder);

}  // namespace defectoscope
