#pragma once

#include <memory>
#include <string>

#include "lineage/embedding_alignment.h"
#include "lineage/signature.h"

namespace defectoscope {

/// The signature of MODEL (see model_folder). A model without a usable tokenizer gets one without tokens, and
/// a line on stderr says so.
Signature signature_of_model(const std::string& model, const SignatureOptions& options);

/// The same for MODEL, or what is in a signature file.
Signature signature_of(const std::string& model_or_signature, const SignatureOptions& options);

/// One of two to be compared: with the model, where it was not a signature file, to align embeddings by.
struct Comparand {
  Signature signature;
  std::shared_ptr<const Model> model;  ///< null for a signature file
  EmbeddedVocabulary vocabulary;       ///< borrows from the model
};
Comparand comparand_of(const std::string& model_or_signature, const SignatureOptions& options);

}  // namespace defectoscope
