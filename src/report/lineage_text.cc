#include "report/lineage_text.h"

#include <fmt/format.h>

namespace defectoscope {

std::string signature_text(const Signature& signature) {
  std::string text =
      fmt::format("{}: {}, {} layers of width {}, {} form\n", signature.model, signature.family,
                  signature.layers, signature.hidden_size, signature_form_name(signature.form));
  text +=
      signature.tokens() > 0
          ? fmt::format("vocabulary: {} sampled tokens\n", signature.tokens())
          : "vocabulary: none (no tokenizer): models of other widths, or with permuted dimensions, cannot be "
            "compared with it\n";
  text += fmt::format("weights: fingerprint {}\n", signature.fingerprint);
  return text;
}

}  // namespace defectoscope
