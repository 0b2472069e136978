#include "base/progress.h"
#include "cli/app.h"
#include "cli/blas_kernels.h"

int main(int argc, char** argv) {
  defectoscope::choose_blas_kernels(argv);
  defectoscope::install_interrupt_handlers();
  return defectoscope::run_program(argc, argv);
}
