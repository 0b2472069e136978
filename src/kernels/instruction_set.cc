#include "kernels/instruction_set.h"

#include "kernels/targets.h"
// Highway last: targets.h must come before it.
#include <hwy/highway.h>

namespace defectoscope {

std::string instruction_set() {
  // The lowest bit is the best of the targets compiled in that this processor has.
  const auto best = hwy::SupportedTargets() & HWY_TARGETS;
  return hwy::TargetName(best & -best);
}

}  // namespace defectoscope
