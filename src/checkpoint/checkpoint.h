#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace defectoscope {

/// The tensors of a model's files, whatever their format. Opening reads headers only.
class Checkpoint {
 public:
  virtual ~Checkpoint() = default;
  /// All tensor names, sorted.
  virtual const std::vector<std::string>& names() const = 0;
  /// The tensor, data in place; nullopt where there is none of that name. The Tensor keeps the map alive.
  virtual std::optional<Tensor> find(std::string_view name) const = 0;
  /// The file that holds it, for messages.
  virtual std::filesystem::path file_of(std::string_view name) const = 0;
  /// All files read, in the order they were opened; empty where the tensors come from no file.
  virtual std::vector<std::filesystem::path> files() const;
};

/// Opens `*.safetensors` of a folder: by `model.safetensors.index.json` where present, else
/// `model.safetensors`, else all of them. Throws Error(kBadInput): no such folder, no weights in it, a shard
/// missing or outside the folder, a tensor listed but absent or present twice, and all that
/// SafetensorsFile::open refuses.
std::shared_ptr<const Checkpoint> open_checkpoint(const std::filesystem::path& folder);

/// SHA-256 over tensor names, dtypes, shapes and sampled pages of the data: the same for the same weights
/// however they are sharded, at the cost of a few megabytes read. `full` hashes all data, in parallel and
/// with a progress line; the two never coincide.
std::string fingerprint(const Checkpoint& checkpoint, bool full = false);

}  // namespace defectoscope
