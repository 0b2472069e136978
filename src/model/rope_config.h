#pragma once

#include "model/config.h"
#include "model/config_reader.h"

namespace defectoscope {

/// Fills rope_base, rotary_dim and rope_scaling from `rope_theta`, `rope_scaling` and `rope_parameters`;
/// head_dim and max_positions must be known.
void read_rope(const ConfigReader& reader, ModelConfig& config);

}  // namespace defectoscope
