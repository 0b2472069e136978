#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/index.h"
#include "tensor/dtype.h"

namespace defectoscope {

/// A tensor that is computed while it is written, some rows at a time.
struct StreamedTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<Index> shape;  ///< one dimension is one row
  /// Rows [begin, end) as f32, row-major. Called from several threads at once.
  std::function<void(Index begin, Index end, float* out)> fill;

  Index rows() const { return shape.size() == 1 ? 1 : shape[0]; }
  Index cols() const { return elements() / rows(); }
  Index elements() const;
  Index bytes() const { return elements() * dtype_size(dtype); }
};

/// Rows [begin, end) as they are stored.
void compute_rows(const StreamedTensor& tensor, Index begin, Index end, std::vector<std::byte>& out);

/// Writes `model.safetensors`, or where that would be larger than `shard_bytes` its shards and
/// `model.safetensors.index.json`, into an existing folder. Returns the names of the files written. Memory: a
/// few tens of megabytes. Computing and writing overlap.
///
/// Throws Error(kResources) where the disk fails, Error(kInterrupted); files already complete
/// are then removed again.
std::vector<std::string> write_streamed(const std::vector<StreamedTensor>& tensors,
                                        const std::filesystem::path& folder, Index shard_bytes);

}  // namespace defectoscope
