#pragma once

#include <cstddef>
#include <vector>

#include "base/index.h"

namespace defectoscope {

/// The data of a buffer that is kept between calls (thread_local), made longer where it holds fewer than
/// `count` values; what it held is gone then. A layer's inputs are megabytes, which the system would clear
/// anew each time.
template <typename T>
T* at_least(std::vector<T>& buffer, Index count) {
  if (buffer.size() < static_cast<std::size_t>(count))
    buffer = std::vector<T>(static_cast<std::size_t>(count));
  return buffer.data();
}

}  // namespace defectoscope
