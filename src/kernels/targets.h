#pragma once

// Included before Highway in every file that is compiled once per instruction set. SSSE3 gains nothing over
// SSE4 on machines that still run; SVE's sizeless vectors cannot be held in the arrays our kernels keep in
// registers, so NEON serves there.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
