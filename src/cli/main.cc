#include "base/progress.h"
#include "cli/app.h"

int main(int argc, char** argv) {
  defectoscope::install_interrupt_handlers();
  return defectoscope::run_program(argc, argv);
}
