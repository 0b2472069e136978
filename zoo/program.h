#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "base/error.h"

namespace defectoscope {

/// What the zoo's programs return: `run`'s answer to the arguments, or 3 after the message of the Error it
/// threw.
inline int run_program(const char* name, int argc, char** argv, int (*run)(const std::vector<std::string>&)) {
  try {
    return run({argv + 1, argv + argc});
  } catch (const Error& error) {
    std::fprintf(stderr, "%s: %s\n", name, error.what());
    return 3;
  }
}

}  // namespace defectoscope
