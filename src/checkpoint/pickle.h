#pragma once

#include <cstddef>
#include <span>
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
};

/// Reads the pickle of a state dict (a dict of names to tensors) and executes nothing: it knows the opcodes
/// such pickles consist of, and of globals just the tensor rebuilders, the storage types and OrderedDict.
/// Entries that are no tensors are left out. Linear in the pickle's length, in time and in memory.
/// Throws Error(kBadInput) naming the opcode or global that is none of these, and on a pickle that is cut
/// short, takes what is not there, holds shapes that overflow or tensors that leave their storage.
std::vector<PickledTensor> read_state_dict(std::span<const std::byte> pickle, const std::string& file);

}  // namespace defectoscope
