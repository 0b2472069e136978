#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/index.h"
#include "tensor/dtype.h"

namespace defectoscope {

/// A tensor as a PyTorch state dict describes it: a strided window onto a storage kept elsewhere.
struct PickledTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::string storage;  ///< the storage's key: the file data/<key> of the archive
  Index storage_elements = 0;
  Index offset = 0;            ///< of the first element in the storage, in elements
  std::vector<Index> shape;    ///< product at most storage_elements
  std::vector<Index> strides;  ///< elements; as many as `shape`; never leading outside the storage

  /// True where the elements lie in row-major order without holes.
  bool contiguous() const;

  /// What is wrong with it: its shape and strides differ in number, or it leaves its storage.
  struct Problem {
    std::string what, expected, got;
  };
  std::optional<Problem> problem() const;
};

}  // namespace defectoscope
