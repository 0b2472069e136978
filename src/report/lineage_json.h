#pragma once

#include "lineage/compare.h"
#include "report/json_values.h"

namespace defectoscope {

/// A model as results about several models repeat it.
Json compared_model_json(const ComparedModel& model);

/// exp, which may underflow to 0, and base-10 logarithm of a probability given by its natural logarithm.
Json probability_json(const std::optional<double>& log_p);
Json log10_json(const std::optional<double>& log_p);
/// The kind of evidence that carries the verdict, null where none does.
Json carried_by_json(const Comparison& comparison);

}  // namespace defectoscope
