#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "checkpoint/checkpoint.h"

namespace defectoscope {

/// Tensors of one or several files seen as one set: those that lie in a file as they are needed, and those
/// that are made from what lies there (dequantized, permuted, copied from strides) when they are asked for.
class TensorSet : public Checkpoint {
 public:
  /// Writes all bytes of the tensor; may run on any thread.
  using Maker = std::function<void(std::byte* out)>;

  /// The tensors added from now on are this file's.
  void begin_file(const std::filesystem::path& path) { files_.push_back(path); }
  /// In place. Throws Error(kBadInput) where a file added before has one of that name.
  void add(const Tensor& tensor);
  /// Made on find(): `described` gives name, dtype and shape, `stored` what it is made from. What find()
  /// gave is given again as long as somebody holds it, and made anew afterwards.
  void add_made(const Tensor& described, StoredTensor stored, Maker maker);
  /// A tensor of another checkpoint under the name `own`: in place where it lies in a file, else made by the
  /// other when it is asked for.
  void add_from(const std::shared_ptr<const Checkpoint>& other, const std::string& name, std::string own);
  /// To be called after the last add.
  void finish();

  const std::vector<std::string>& names() const override { return names_; }
  std::optional<Tensor> find(std::string_view name) const override;
  std::optional<Tensor> describe(std::string_view name) const override;
  std::optional<StoredTensor> stored(std::string_view name) const override;
  std::filesystem::path file_of(std::string_view name) const override;
  std::vector<std::filesystem::path> files() const override { return files_; }

 private:
  struct Place {
    Tensor tensor;
    std::size_t file;
    StoredTensor stored;                ///< of a made tensor
    Maker maker;                        ///< empty for a tensor in place
    mutable std::weak_ptr<void> alive;  ///< what find() made last; under mutex_
  };
  void insert(Place place);

  std::map<std::string, Place, std::less<>> tensors_;
  std::vector<std::string> names_;
  std::vector<std::filesystem::path> files_;
  mutable std::mutex mutex_;
};

}  // namespace defectoscope
