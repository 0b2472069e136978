#pragma once

#include <oneapi/dnnl/dnnl.hpp>

namespace defectoscope {

/// Whether oneDNN may use this instruction set here.
inline bool onednn_has(dnnl::cpu_isa wanted) {
  const auto bits = static_cast<unsigned>(wanted);
  return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & bits) == bits;
}

}  // namespace defectoscope
