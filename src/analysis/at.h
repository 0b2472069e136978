#pragma once

#include <cstddef>

#include "base/index.h"

namespace defectoscope {

/// A position that is not negative, as the containers of the standard library take it.
inline std::size_t at(Index i) { return static_cast<std::size_t>(i); }

}  // namespace defectoscope
