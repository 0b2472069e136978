#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace defectoscope {

/// What a file holds of a tensor, before anything is made of it.
struct StoredTensor {
  std::string format;  ///< "bf16", "q4_k": how `bytes` are to be read
  std::vector<Index> shape;
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
  std::vector<std::span<const std::byte>> scales = {};  ///< what else belongs to it: scales, zero points
};

/// The tensors of a model's files, whatever their format. Opening reads headers only.
class Checkpoint {
 public:
  virtual ~Checkpoint() = default;
  /// All tensor names, sorted.
  virtual const std::vector<std::string>& names() const = 0;
  /// The tensor; nullopt where there is none of that name. Data are in place where the file holds them as
  /// they are computed with; a quantized, permuted or strided tensor is made anew, at the cost of its own
  /// size in memory for as long as it is held. The Tensor keeps the map alive.
  virtual std::optional<Tensor> find(std::string_view name) const = 0;
  /// Name, dtype and shape of what find() gives, at no cost; data may be missing.
  virtual std::optional<Tensor> describe(std::string_view name) const { return find(name); }
  /// The bytes in the file, which the fingerprint is of. By default those of find().
  virtual std::optional<StoredTensor> stored(std::string_view name) const;
  /// The file that holds it, for messages.
  virtual std::filesystem::path file_of(std::string_view name) const = 0;
  /// All files read, in the order they were opened; empty where the tensors come from no file.
  virtual std::vector<std::filesystem::path> files() const;
};

/// Opens the weights of a folder. `*.safetensors`: by `model.safetensors.index.json` where present, else
/// `model.safetensors`, else all of them. Where there are none, PyTorch's `pytorch_model*.bin` in the same
/// way. Throws Error(kBadInput): no such folder, no weights in it, a shard missing or outside the folder, a
/// tensor listed but absent or present twice, and all that SafetensorsFile::open and add_pytorch_bin refuse.
std::shared_ptr<const Checkpoint> open_checkpoint(const std::filesystem::path& folder);

/// Whether a folder has weights that open_checkpoint would open.
bool has_weights(const std::filesystem::path& folder);

/// SHA-256 over tensor names, dtypes, shapes and sampled pages of the data: the same for the same weights
/// however they are sharded, at the cost of a few megabytes read. `full` hashes all data, in parallel and
/// with a progress line; the two never coincide.
std::string fingerprint(const Checkpoint& checkpoint, bool full = false);

}  // namespace defectoscope
