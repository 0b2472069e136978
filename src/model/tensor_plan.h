#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"

namespace defectoscope {

class Checkpoint;

/// One tensor that a model of a given configuration consists of.
struct TensorSlot {
  std::string name;          ///< in full, as the checkpoint spells it
  std::vector<Index> shape;  ///< as it is stored: [in, out] in transposed families
  bool required = true;
};

/// Every tensor of the model, in the order a forward pass meets them. O(layers · experts). `spelling` is of
/// the row's experts, see find_spelling.
std::vector<TensorSlot> tensor_plan(const ModelConfig& config, std::string_view prefix,
                                    std::size_t spelling = 0);
/// The same, spelled as the checkpoint does where it has another spelling of the family's.
std::vector<TensorSlot> tensor_plan(const ModelConfig& config, std::string_view prefix,
                                    const Checkpoint& checkpoint);

/// The first of the row's spellings of experts that the checkpoint has; 0 where it has none or the row has no
/// experts.
std::size_t find_spelling(const ModelConfig& config, std::string_view prefix, const Checkpoint& checkpoint);
/// Whether the checkpoint has keys and values of latent attention apart (TensorNames::key_expand).
bool has_parted_latents(const ArchitectureSpec& row, std::string_view prefix, const Checkpoint& checkpoint);
/// `name` as the checkpoint spells it.
std::string stored_name(const ArchitectureSpec& row, const Checkpoint& checkpoint, std::string_view name);

/// The first of the row's prefixes under which the checkpoint has the embedding; the row's first where it has
/// none.
std::string_view find_prefix(const ArchitectureSpec& row, const Checkpoint& checkpoint);

/// "model." + "layers.{}.mlp.up_proj.weight" → "model.layers.3.mlp.up_proj.weight".
std::string tensor_name(std::string_view prefix, std::string_view pattern, Index layer_index = 0);
/// The same with a second {} for the expert.
std::string expert_tensor_name(std::string_view prefix, std::string_view pattern, Index layer_index,
                               Index expert);
/// "q_layernorm.norms.{head}.weight" → "q_layernorm.norms.3.weight".
std::string of_head(std::string_view pattern, Index head);
/// "….weight" → "….bias".
std::string bias_name(std::string_view weight_name);

/// True for a tensor that some versions store without it being a weight (TensorNames::ignored), and for a
/// stored copy of a tied LM head.
bool is_ignored(const ModelConfig& config, std::string_view prefix, std::string_view name);

}  // namespace defectoscope
