#pragma once

#include "checkpoint/gguf.h"
#include "model/config.h"

namespace defectoscope {

/// A model's shape and settings from a GGUF file's metadata: its keys are read as the config.json they were
/// made from, and then by parse_config. What the file leaves to its tensors is taken from them: the size of
/// the vocabulary, tied embeddings, the factors of long contexts' rotary frequencies. Throws Error(kBadInput)
/// as parse_config does; messages name config.json's keys.
ModelConfig gguf_config(const GgufFiles& files, const ArchitectureSpec& row);

}  // namespace defectoscope
