#pragma once

#include "model/config.h"
#include "model/config_reader.h"

namespace defectoscope {

/// Fills sliding_window, layer_is_windowed and layer_is_rotary by the family's rules; `layers` must be known.
void read_layer_rules(const ConfigReader& reader, ModelConfig& config);

}  // namespace defectoscope
