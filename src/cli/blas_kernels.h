#pragma once

namespace defectoscope {

/// OpenBLAS chooses its kernels when it is loaded, by the processor's model number. For a processor newer
/// than itself it takes those of a Prescott (SSE3), which are several times slower, and only the environment
/// can tell it better: so where it has chosen them on a processor with AVX2, this starts the program again,
/// with OPENBLAS_CORETYPE set to what fits. Does nothing where that is set already, or the BLAS is another.
/// Call first in main.
void choose_blas_kernels(char** arguments);

}  // namespace defectoscope
