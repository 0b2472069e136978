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
};

/// Opens `*.safetensors` of a folder: by `model.safetensors.index.json` where present, else the single file
/// or all shards. Throws Error(kBadInput): empty folder, shard missing from the index, tensor listed but
/// absent.
std::shared_ptr<const Checkpoint> open_checkpoint(const std::filesystem::path& folder);

/// SHA-256 over tensor names, dtypes, shapes and sampled pages of the data: the same for the same weights
/// however they are sharded, at the cost of a few megabytes read. `full` hashes all data.
std::string fingerprint(const Checkpoint& checkpoint, bool full = false);

}  // namespace defectoscope
