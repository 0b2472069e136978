#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/error.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "checkpoint/checkpoint.h"
#include "model/model.h"

namespace defectoscope {
namespace {

constexpr Index kTileElements = Index{1} << 20;
constexpr Index kBatch = 64;  // tiles between two looks at progress and interrupts
constexpr Index kNone = -1;

/// A float is NaN or infinite where all bits of its exponent are set. The loop has no early exit, so that it
/// vectorizes; the position is looked up only in a tile known to be bad.
template <typename Bits>
Index first_bad(const std::byte* data, Index count, Bits exponent) {
  const auto bits_at = [&](Index i) {
    Bits bits;
    std::memcpy(&bits, data + i * static_cast<Index>(sizeof bits), sizeof bits);
    return bits;
  };
  bool bad = false;
  for (Index i = 0; i < count; ++i) bad |= (bits_at(i) & exponent) == exponent;
  if (!bad) return kNone;
  Index i = 0;
  while ((bits_at(i) & exponent) != exponent) ++i;
  return i;
}

Index first_bad(DType dtype, const std::byte* data, Index count) {
  switch (dtype) {
    case DType::kF64:
      return first_bad<std::uint64_t>(data, count, 0x7ff0000000000000u);
    case DType::kF32:
      return first_bad<std::uint32_t>(data, count, 0x7f800000u);
    case DType::kF16:
      return first_bad<std::uint16_t>(data, count, std::uint16_t{0x7c00u});
    case DType::kBF16:
      return first_bad<std::uint16_t>(data, count, std::uint16_t{0x7f80u});
    default:
      return kNone;
  }
}

/// "[3, 17]": where element `position` lies in a tensor of that shape.
std::string coordinates(const std::vector<Index>& shape, Index position) {
  std::vector<Index> index(shape.size());
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    index[axis] = position % shape[axis];
    position /= shape[axis];
  }
  return shape_text(index);
}

[[noreturn]] void fail(const Checkpoint& checkpoint, const Tensor& tensor, Index position) {
  float value = 0;
  convert_to_f32(tensor.dtype, tensor.data + position * dtype_size(tensor.dtype), 1, &value);
  throw_bad_input({.what = "weight is not finite",
                   .file = checkpoint.file_of(tensor.name).string(),
                   .tensor = tensor.name,
                   .expected = "finite numbers",
                   .got = std::to_string(value) + " at " + coordinates(tensor.shape, position),
                   .hint = "the checkpoint is damaged, or was saved from a diverged training run"});
}

}  // namespace

void Model::check_finite() const {
  struct Tile {
    std::size_t tensor;
    Index begin;
  };
  std::vector<Tensor> tensors;
  std::vector<Tile> tiles;
  for (const std::string& name : checkpoint_->names()) {
    tensors.push_back(*checkpoint_->find(name));
    for (Index begin = 0; begin < tensors.back().elements(); begin += kTileElements)
      tiles.push_back({tensors.size() - 1, begin});
  }
  const auto count = static_cast<Index>(tiles.size());
  Progress progress("Checking weights", count);
  for (Index first = 0; first < count; first += kBatch) {
    const Index batch = std::min(kBatch, count - first);
    std::vector<Index> bad(static_cast<std::size_t>(batch), kNone);
    parallel_for(batch, [&](Index i) {
      const Tile& tile = tiles[static_cast<std::size_t>(first + i)];
      const Tensor& tensor = tensors[tile.tensor];
      const Index size = std::min(kTileElements, tensor.elements() - tile.begin);
      bad[static_cast<std::size_t>(i)] =
          first_bad(tensor.dtype, tensor.data + tile.begin * dtype_size(tensor.dtype), size);
    });
    for (std::size_t i = 0; i < bad.size(); ++i) {
      if (bad[i] == kNone) continue;
      const Tile& tile = tiles[static_cast<std::size_t>(first) + i];
      fail(*checkpoint_, tensors[tile.tensor], tile.begin + bad[i]);
    }
    progress.advance(batch);
  }
}

}  // namespace defectoscope
