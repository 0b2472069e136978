#pragma once

#include <filesystem>

namespace defectoscope {

class TensorSet;

/// Adds the tensors of a PyTorch file (torch.save of a state dict, as torch has written it since 1.6: a zip
/// of a pickle and of storages). Contiguous tensors are used in place; others are copied when asked for.
/// Nothing of the pickle is executed (read_state_dict). Throws Error(kBadInput): the older formats, no state
/// dict in it, an opcode or global that state dicts do not use, big-endian values, a storage that is missing,
/// compressed or too short, and all that ZipArchive refuses.
void add_pytorch_bin(const std::filesystem::path& path, TensorSet& set);

}  // namespace defectoscope
