#pragma once

#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace defectoscope {

/// What a fuzzer holds its reader to.
inline void require(bool condition) {
  if (!condition) std::abort();
}

/// Runs one reader: it may refuse its input, as bad input and in a message of bounded length.
template <typename Body>
void attempt(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    require(error.kind() == ErrorKind::kBadInput && std::strlen(error.what()) < 4096);
  }
}

}  // namespace defectoscope
