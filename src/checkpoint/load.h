#pragma once

#include <cstddef>
#include <cstring>
#include <span>

namespace defectoscope {

/// The T that stands at byte `at`, in the machine's byte order and at any alignment; the caller has checked
/// that the bytes reach so far.
template <typename T>
T load(std::span<const std::byte> bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

}  // namespace defectoscope
