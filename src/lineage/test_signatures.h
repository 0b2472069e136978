#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/test_files.h"
#include "lineage/attacks.h"
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

/// Of a model of the zoo after attacks (seed 7) and whatever else `change` does.
inline Signature disguised(const std::string& name, const std::vector<std::string>& attacks,
                           const std::function<void(EditableModel&)>& change = {},
                           EditableModel* other = nullptr) {
  EditableModel model(Model::open(kZoo + name));
  for (const std::string& text : attacks) {
    const ChosenAttack chosen = parse_attack(text);
    Random random(7);
    chosen.attack->apply(model, {chosen.strength, random, other});
  }
  if (change) change(model);
  const testing_files::TemporaryFolder folder;
  model.write(folder / "out");
  return compute_signature(Model::open(folder / "out"), open_tokenizer(folder / "out").get(), {});
}

}  // namespace defectoscope::testing_lineage
