#pragma once

#include <string>

namespace defectoscope {

/// The instruction set the kernels run on here ("AVX3", "AVX2", "NEON", ...): results are the same to the
/// last bit on machines that share it.
std::string instruction_set();

}  // namespace defectoscope
