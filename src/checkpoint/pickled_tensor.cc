#include "checkpoint/pickled_tensor.h"

#include <algorithm>

namespace defectoscope {
namespace {

constexpr Index kMostOfEmpty = Index{1} << 48;  // product of the other sizes where one is 0

}  // namespace

bool PickledTensor::contiguous() const {
  if (std::ranges::find(shape, 0) != shape.end()) return true;
  Index expected = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

std::optional<PickledTensor::Problem> PickledTensor::problem() const {
  if (shape.size() != strides.size())
    return Problem{"tensor has another number of strides than of dimensions", std::to_string(shape.size()),
                   std::to_string(strides.size())};
  Problem outside{"tensor leaves its storage", std::to_string(storage_elements) + " elements",
                  "offset " + std::to_string(offset) + ", shape and strides that reach further"};
  // Elements are at most the storage's, so neither a product nor an expanded tensor can grow beyond the file.
  const bool empty = std::ranges::find(shape, 0) != shape.end();
  Index elements = 1;
  for (const Index size : shape) {
    if (size == 0) continue;
    if (size > (empty ? kMostOfEmpty : storage_elements) / elements) return outside;
    elements *= size;
  }
  if (offset < 0 || offset > storage_elements) return outside;
  if (empty) return std::nullopt;
  Index left = storage_elements - offset - 1;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const Index steps = shape[i] - 1;
    if (steps == 0) continue;
    if (left < 0 || strides[i] > left / steps) return outside;
    left -= steps * strides[i];
  }
  if (left < 0) return outside;
  return std::nullopt;
}

}  // namespace defectoscope
