#pragma once

#include <filesystem>
#include <memory>

#include "checkpoint/checkpoint.h"

namespace defectoscope {

/// The checkpoint with a LoRA adapter merged into it, as PEFT saves one: `folder` holds adapter_config.json
/// and adapter_model.safetensors (or .bin). W of an adapted module becomes W + s · B A (of its transpose
/// where fan_in_fan_out), s = lora_alpha / r, or lora_alpha / √r with use_rslora, r and alpha by
/// rank_pattern and alpha_pattern where those name the module (Hu et al. 2021; Kalajdzievski 2023);
/// embeddings likewise. Merged tensors are made in f32 each time they are asked for, in one pass of 2 r
/// operations a value. Whatever else the adapter stores (modules_to_save, biases) replaces the tensor of its
/// name. Throws Error(kBadInput): not LoRA, DoRA, a tensor that the checkpoint lacks or of a shape that does
/// not fit, half of a pair.
std::shared_ptr<const Checkpoint> with_adapter(std::shared_ptr<const Checkpoint> base,
                                               const std::filesystem::path& folder);

}  // namespace defectoscope
