#pragma once

#include <map>
#include <string>

#include "lineage/signature.h"
#include "model/model.h"

namespace defectoscope::testing_lineage {

inline const std::string kZoo = DEFECTOSCOPE_SOURCE_DIR "/zoo/";

/// Of a model of the zoo, or in another folder; computed once.
inline const Signature& signature_of(const std::string& name) {
  static std::map<std::string, Signature> known;
  if (!known.contains(name))
    known[name] = compute_signature(Model::open(kZoo + name), open_tokenizer(kZoo + name).get(), {});
  return known[name];
}

}  // namespace defectoscope::testing_lineage
