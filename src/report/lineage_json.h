#pragma once

#include "lineage/compare.h"
#include "report/json_values.h"

namespace defectoscope {

/// A model as results about several models repeat it.
Json compared_model_json(const ComparedModel& model);

}  // namespace defectoscope
