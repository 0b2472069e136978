#pragma once

#include <memory>
#include <vector>

#include "checkpoint/tensor_stream.h"
#include "synthesis/phantom_plan.h"

namespace defectoscope {

/// All tensors of the planned phantom in checkpoint order, named as the form's family names them. They keep
/// `plan` alive.
std::vector<StreamedTensor> phantom_tensors(const std::shared_ptr<const PhantomPlan>& plan);

}  // namespace defectoscope
