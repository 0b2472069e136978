#include "cli/signature_source.h"

#include <fmt/format.h>

#include "base/error.h"
#include "cli/common.h"
#include "lineage/signature_file.h"
#include "model/model.h"

namespace defectoscope {

Signature signature_of_model(const std::string& name, const SignatureOptions& options) {
  const std::filesystem::path path = model_folder(name);
  const Model model = Model::open(path);
  std::unique_ptr<Tokenizer> tokenizer;
  try {
    tokenizer = open_tokenizer(path);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kBadInput) throw;
    fmt::print(stderr, "defectoscope: {}: no vocabulary in its signature: {}\n", name, error.what());
  }
  return compute_signature(model, tokenizer.get(), options);
}

Signature signature_of(const std::string& model_or_signature, const SignatureOptions& options) {
  if (is_signature_file(model_or_signature)) return read_signature(model_or_signature);
  return signature_of_model(model_or_signature, options);
}

}  // namespace defectoscope
