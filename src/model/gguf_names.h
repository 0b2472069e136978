#pragma once

#include <string>

#include "checkpoint/gguf.h"
#include "model/architecture.h"

namespace defectoscope {

/// The row whose GgufTraits name the files' general.architecture; of several the one whose `when` holds.
/// Throws Error(kBadInput), listing the known, where there is none.
const ArchitectureSpec& gguf_architecture(const GgufFiles& files);
/// "llama, qwen2, gpt2": every GGUF architecture known, for messages.
std::string known_gguf_architectures();

/// What llama.cpp calls the row's tensors: "blk.3.attn_q.weight" is the row's query of layer 3, with the
/// rows of its heads interleaved where the row's traits say so; "blk.3.ffn_up_exps.weight" is every expert's
/// own, a tensor each. Names the row has not stay as they are;
/// tables of rotary frequencies, which are settings, are left out.
TensorNaming gguf_naming(const ArchitectureSpec& row);

/// The other way round: "blk.3.attn_q.weight" for the row's pattern "layers.{}.self_attn.q_proj.weight" and
/// layer 3. Empty where llama.cpp has no such part.
std::string gguf_tensor_name(const ArchitectureSpec& row, std::string_view pattern, Index layer_index = 0);

}  // namespace defectoscope
