#include "checkpoint/tensor_set.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "checkpoint/strict_json.h"

namespace defectoscope {

void TensorSet::insert(Place place) {
  std::string name = place.tensor.name;
  const auto [held, added] = tensors_.emplace(name, std::move(place));
  if (!added)
    throw_bad_input({.what = "tensor present in two files",
                     .file = files_.back().string(),
                     .tensor = shortened(name),
                     .got = "also in " + files_[held->second.file].string(),
                     .hint = "remove the file that does not belong to the model"});
  names_.push_back(std::move(name));
}

void TensorSet::add(const Tensor& tensor) { insert({tensor, files_.size() - 1, {}, {}, {}}); }

void TensorSet::add_made(const Tensor& described, StoredTensor stored, Maker maker) {
  insert({described, files_.size() - 1, std::move(stored), std::move(maker), {}});
}

void TensorSet::add_from(const std::shared_ptr<const Checkpoint>& other, const std::string& name,
                         std::string own) {
  Tensor tensor = *other->describe(name);
  tensor.name = std::move(own);
  if (tensor.defined()) return add(tensor);
  add_made(tensor, *other->stored(name), [other, name](std::byte* out) {
    const Tensor made = *other->find(name);
    std::memcpy(out, made.data, static_cast<std::size_t>(made.bytes()));
  });
}

void TensorSet::finish() { std::ranges::sort(names_); }

std::optional<Tensor> TensorSet::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return std::nullopt;
  const Place& place = found->second;
  Tensor tensor = place.tensor;
  if (!place.maker) return tensor;
  const std::lock_guard lock(mutex_);
  std::shared_ptr<void> bytes = place.alive.lock();
  if (bytes == nullptr) {
    // Of floats, so that rows are aligned for any type; at least one, so that an empty tensor is defined.
    const auto size = static_cast<std::size_t>(tensor.bytes());
    const auto made = std::make_shared_for_overwrite<float[]>(size / sizeof(float) + 1);
    place.maker(reinterpret_cast<std::byte*>(made.get()));
    bytes = made;
    place.alive = bytes;
  }
  tensor.data = static_cast<const std::byte*>(bytes.get());
  tensor.owner = bytes;
  return tensor;
}

std::optional<Tensor> TensorSet::describe(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return std::nullopt;
  return found->second.tensor;
}

std::optional<StoredTensor> TensorSet::stored(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return std::nullopt;
  return found->second.maker ? found->second.stored : Checkpoint::stored(name);
}

std::filesystem::path TensorSet::file_of(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? std::filesystem::path() : files_[found->second.file];
}

}  // namespace defectoscope
