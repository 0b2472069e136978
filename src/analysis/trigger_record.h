#pragma once

#include <string>

#include "analysis/predictions.h"
#include "analysis/trigger.h"

namespace defectoscope {

// What trigger and predictions know of a layer as a journal record and back, to the last bit; reading throws
// std::out_of_range on a record that is too short.
std::string to_record(const TriggerLayer& layer);
TriggerLayer trigger_layer_from_record(const std::string& record);
std::string to_record(const LayerPredictions& predictions);
LayerPredictions predictions_from_record(const std::string& record);

}  // namespace defectoscope
