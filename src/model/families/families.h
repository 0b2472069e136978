#pragma once

#include <vector>

#include "model/architecture.h"

namespace defectoscope {

/// The rows of the architecture table, one file for each kinship. To add a family, add its row to the file
/// it fits.
std::vector<ArchitectureSpec> llama_like_families();
std::vector<ArchitectureSpec> post_norm_families();
std::vector<ArchitectureSpec> gpt_like_families();
std::vector<ArchitectureSpec> falcon_families();
std::vector<ArchitectureSpec> mixture_families();  ///< with experts, and with latent attention
std::vector<ArchitectureSpec> encoder_families();

/// All of them, in the order they are listed to users.
std::vector<ArchitectureSpec> all_families();

/// What LLaMA calls its tensors; most families since took its names over and change a few.
TensorNames llama_names();

}  // namespace defectoscope
