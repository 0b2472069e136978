#pragma once

#include <vector>

#include "base/index.h"
#include "model/expert_spec.h"

namespace defectoscope {

class ConfigReader;
struct ArchitectureSpec;

/// A model's experts, read from config.json by the keys of its family's row.
struct ExpertConfig {
  Index experts = 0;          ///< 0: every layer's FFN is dense
  Index chosen = 0;           ///< experts a token passes
  Index ffn_size = 0;         ///< of one expert
  Index shared_ffn_size = 0;  ///< of the expert that all tokens pass; 0: none
  bool normalized = false;    ///< the chosen experts' weights are divided by their sum
  double scale = 1;           ///< and multiplied by this
  Index groups = 1, chosen_groups = 1;
  std::vector<bool> layer_is_sparse;  ///< [layers]

  bool in_layer(Index layer_index) const {
    return experts > 0 && layer_is_sparse[static_cast<std::size_t>(layer_index)];
  }
};

/// Throws Error(kBadInput) on values out of range: more experts chosen than there are, groups that do not
/// divide them, a routing method we do not compute.
ExpertConfig read_experts(const ConfigReader& reader, const ArchitectureSpec& row, Index layers);

}  // namespace defectoscope
