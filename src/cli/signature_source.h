#pragma once

#include <string>

#include "lineage/signature.h"

namespace defectoscope {

/// The signature of MODEL (see model_folder). A model without a usable tokenizer gets one without tokens, and
/// a line on stderr says so.
Signature signature_of_model(const std::string& model, const SignatureOptions& options);

/// The same for MODEL, or what is in a signature file.
Signature signature_of(const std::string& model_or_signature, const SignatureOptions& options);

}  // namespace defectoscope
