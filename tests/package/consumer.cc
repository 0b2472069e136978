// A program outside the project, built against what is installed.

#include <cstdio>

#include "model/model.h"
#include "spectral/singular.h"

int main(int, char** argv) {
  const auto model = defectoscope::Model::open(argv[1]);
  std::printf("%s has %ld layers\n", model.name().c_str(), static_cast<long>(model.config().layers));
}
