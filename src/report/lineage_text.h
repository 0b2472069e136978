#pragma once

#include <string>

#include "lineage/signature.h"

namespace defectoscope {

/// What a signature holds, for a person: a few lines.
std::string signature_text(const Signature& signature);

}  // namespace defectoscope
