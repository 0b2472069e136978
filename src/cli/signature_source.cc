#include "cli/signature_source.h"

#include <fmt/format.h>

#include "base/error.h"
#include "cli/common.h"
#include "lineage/signature_file.h"
#include "model/model.h"

namespace defectoscope {
namespace {

struct OpenedModel {
  std::shared_ptr<const Model> model;
  std::unique_ptr<Tokenizer> tokenizer;  ///< null where there is none that can be used
};

OpenedModel opened(const std::string& name) {
  const std::filesystem::path path = model_folder(name);
  OpenedModel found{std::make_shared<const Model>(Model::open(path)), nullptr};
  try {
    found.tokenizer = open_tokenizer(path);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kBadInput) throw;
    fmt::print(stderr, "defectoscope: {}: no vocabulary in its signature: {}\n", name, error.what());
  }
  return found;
}

}  // namespace

Signature signature_of_model(const std::string& name, const SignatureOptions& options) {
  const OpenedModel source = opened(name);
  return compute_signature(*source.model, source.tokenizer.get(), options);
}

Signature signature_of(const std::string& model_or_signature, const SignatureOptions& options) {
  if (is_signature_file(model_or_signature)) return read_signature(model_or_signature);
  return signature_of_model(model_or_signature, options);
}

Comparand comparand_of(const std::string& model_or_signature, const SignatureOptions& options) {
  if (is_signature_file(model_or_signature)) {
    Comparand file{read_signature(model_or_signature), nullptr, {}};
    file.vocabulary.name = file.signature.model;
    return file;
  }
  OpenedModel source = opened(model_or_signature);
  return {compute_signature(*source.model, source.tokenizer.get(), options), source.model,
          embedded_vocabulary(*source.model, source.tokenizer.get())};
}

}  // namespace defectoscope
