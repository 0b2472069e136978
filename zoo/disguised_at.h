#pragma once

#include <filesystem>
#include <memory>

#include "lineage/attacks.h"
#include "model/model.h"

namespace defectoscope {

/// Writes the model in `origin` after an attack (seed 7) into `out`, anew. `other`: what is interpolated
/// with; empty for none. Throws Error(kUsage) where the model does not allow the attack.
inline void write_disguised(const std::filesystem::path& origin, const ChosenAttack& chosen,
                            const std::filesystem::path& other, const std::filesystem::path& out) {
  std::filesystem::remove_all(out);
  EditableModel model(Model::open(origin));
  std::unique_ptr<EditableModel> with;
  if (!other.empty()) with = std::make_unique<EditableModel>(Model::open(other));
  Random random(7);
  chosen.attack->apply(model, {chosen.strength, random, with.get()});
  model.write(out);
}

}  // namespace defectoscope
