#include <algorithm>

#include "base/parallel.h"
#include "base/progress.h"
#include "base/sha256.h"
#include "checkpoint/checkpoint.h"

namespace defectoscope {
namespace {

// Positions count within each tensor, never within a file, so that sharding changes nothing.
constexpr Index kSampleBytes = 4096;
constexpr Index kTileBytes = Index{16} << 20;
constexpr Index kBatch = 64;  // tiles between two looks at progress and interrupts

std::span<const std::byte> piece(const Tensor& tensor, Index begin, Index size) {
  return {tensor.data + begin, static_cast<std::size_t>(std::min(size, tensor.bytes() - begin))};
}

/// Lengths keep neighbouring fields apart.
void describe(Sha256& hash, const Tensor& tensor) {
  hash.update(std::to_string(tensor.name.size()) + ":" + tensor.name + " " +
              std::string(dtype_name(tensor.dtype)) + " " + tensor.shape_text() + "\n");
}

std::string sampled(const Checkpoint& checkpoint) {
  Sha256 hash;
  hash.update("defectoscope.fingerprint/1 sampled\n");
  for (const std::string& name : checkpoint.names()) {
    const Tensor tensor = *checkpoint.find(name);
    describe(hash, tensor);
    hash.update(piece(tensor, 0, kSampleBytes));
    const Index half = tensor.bytes() / 2;
    if (half >= kSampleBytes) hash.update(piece(tensor, half, kSampleBytes));
  }
  return hash.hex_digest();
}

std::string full_hash(const Checkpoint& checkpoint) {
  struct Tile {
    Tensor tensor;
    Index begin;
  };
  std::vector<Tile> tiles;
  Sha256 hash;
  hash.update("defectoscope.fingerprint/1 full\n");
  for (const std::string& name : checkpoint.names()) {
    const Tensor tensor = *checkpoint.find(name);
    describe(hash, tensor);
    for (Index begin = 0; begin < tensor.bytes(); begin += kTileBytes) tiles.push_back({tensor, begin});
  }
  const auto count = static_cast<Index>(tiles.size());
  std::vector<std::string> digests(tiles.size());
  Progress progress("hashing weights", count);
  for (Index first = 0; first < count; first += kBatch) {
    const Index batch = std::min(kBatch, count - first);
    parallel_for(batch, [&](Index i) {
      const auto t = static_cast<std::size_t>(first + i);
      Sha256 one;
      one.update(piece(tiles[t].tensor, tiles[t].begin, kTileBytes));
      digests[t] = one.hex_digest();
    });
    progress.advance(batch);
  }
  for (const std::string& digest : digests) hash.update(digest);
  return hash.hex_digest();
}

}  // namespace

std::string fingerprint(const Checkpoint& checkpoint, bool full) {
  return full ? full_hash(checkpoint) : sampled(checkpoint);
}

}  // namespace defectoscope
