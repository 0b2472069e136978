#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/random.h"
#include "lineage/editable_model.h"

namespace defectoscope {

/// What an attack is given beside the model.
struct AttackInput {
  double strength = 0;  ///< what it means is Attack::strength_means
  Random& random;
  EditableModel* other = nullptr;  ///< the model to interpolate with
};

/// One way to hide, or to lose, where a model comes from.
struct Attack {
  std::string_view name;
  bool preserves_function;  ///< outputs stay the same but for rounding
  std::string_view what;
  double default_strength;
  std::string_view strength_means;  ///< empty: it has none
  /// Throws Error(kUsage) with the reason where the family, or this model, does not allow it.
  void (*apply)(EditableModel& model, const AttackInput& input);
};

/// Function-preserving ones first.
std::span<const Attack> attacks();
/// "name" or "name:strength". Throws Error(kUsage) naming all known where there is none, or on a strength
/// that is no number.
struct ChosenAttack {
  const Attack* attack;
  double strength;
};
ChosenAttack parse_attack(std::string_view text);

// In attacks_preserving.cc. h stands for the hidden (residual) dimensions.
void permute_hidden(EditableModel& model, const AttackInput& input);  ///< h → Π h everywhere
void fold_gains(EditableModel& model, const AttackInput& input);      ///< norm gains into the matrices behind
void permute_neurons(EditableModel& model, const AttackInput& input);       ///< of every FFN
void rescale_neurons(EditableModel& model, const AttackInput& input);       ///< up row · t, down column / t
void reparametrise_values(EditableModel& model, const AttackInput& input);  ///< V → M V, O → O M⁻¹ per head
void permute_heads(EditableModel& model, const AttackInput& input);   ///< key-value heads with their queries
void rotate_hidden(EditableModel& model, const AttackInput& input);   ///< gains folded, then h → Qᵀ h
void scale_residual(EditableModel& model, const AttackInput& input);  ///< h → c h, eps → c² eps

// In attacks_damaging.cc.
void add_noise(EditableModel& model, const AttackInput& input);
void quantize_weights(EditableModel& model, const AttackInput& input);
void prune_weights(EditableModel& model, const AttackInput& input);
void drop_layers(EditableModel& model, const AttackInput& input);
void duplicate_layers(EditableModel& model, const AttackInput& input);
void interpolate(EditableModel& model, const AttackInput& input);
void shuffle_embedding(EditableModel& model, const AttackInput& input);  ///< rows exchanged, tokenizer not

// In attacks_structural.cc.
void extend_vocabulary(EditableModel& model, const AttackInput& input);   ///< rows added; old logits stay
void shuffle_vocabulary(EditableModel& model, const AttackInput& input);  ///< ids exchanged, tokenizer too
void insert_layers(EditableModel& model, const AttackInput& input);       ///< layers that write nothing
void add_low_rank(EditableModel& model, const AttackInput& input);        ///< W + s BA, rank 8
void prune_neurons(EditableModel& model, const AttackInput& input);       ///< the weakest leave every FFN
void add_embedding_noise(EditableModel& model, const AttackInput& input);
void replace_embedding(EditableModel& model,
                       const AttackInput& input);  ///< rows by random ones of their size

}  // namespace defectoscope
