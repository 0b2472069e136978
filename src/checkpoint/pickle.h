#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/pickled_tensor.h"

namespace defectoscope {

/// Reads the pickle of a state dict (a dict of names to tensors) and executes nothing: it knows the opcodes
/// such pickles consist of, and of globals just the tensor rebuilders, the storage types and OrderedDict.
/// Entries that are no tensors are left out. Linear in the pickle's length, in time and in memory.
/// Throws Error(kBadInput) naming the opcode or global that is none of these, and on a pickle that is cut
/// short, takes what is not there, holds shapes that overflow or tensors that leave their storage.
std::vector<PickledTensor> read_state_dict(std::span<const std::byte> pickle, const std::string& file);

}  // namespace defectoscope
