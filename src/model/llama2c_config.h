#pragma once

#include "checkpoint/llama2c.h"
#include "model/config.h"

namespace defectoscope {

/// The configuration of a llama2.c model, by its sizes and what that program computes with. Throws
/// Error(kBadInput) as parse_config does.
ModelConfig llama2c_config(const Llama2cFile::Sizes& sizes, const ArchitectureSpec& row,
                           const std::string& file);

}  // namespace defectoscope
