#pragma once

#include <algorithm>

#include "base/parallel.h"

namespace defectoscope {

/// Tiles of Y. Large ones run fastest (oneDNN packs each tile's weights anew), but a small product must still
/// fall into enough of them for many threads. Depends on the shape alone, never on the number of threads.
struct GemmTile {
  Index rows = 512;
  Index outputs = 256;
};

inline GemmTile gemm_tile(Index rows, Index outputs, GemmTile tile) {
  const auto tiles = [&] {
    return ((rows + tile.rows - 1) / tile.rows) * ((outputs + tile.outputs - 1) / tile.outputs);
  };
  constexpr Index kEnough = 16;
  while (tiles() < kEnough && (tile.rows > 64 || tile.outputs > 128)) {
    if (tile.outputs > 128)
      tile.outputs /= 2;
    else
      tile.rows /= 2;
  }
  return tile;
}

/// body(first row, rows, first output, outputs) on the tiles of Y, none larger than `largest`, in parallel;
/// neighbours share weights.
template <typename Body>
void for_gemm_tiles(Index rows, Index outputs, GemmTile largest, const Body& body) {
  const GemmTile tile = gemm_tile(rows, outputs, largest);
  const Index row_tiles = (rows + tile.rows - 1) / tile.rows;
  const Index output_tiles = (outputs + tile.outputs - 1) / tile.outputs;
  parallel_for(row_tiles * output_tiles, [&](Index i) {
    const Index row = i % row_tiles * tile.rows;
    const Index output = i / row_tiles * tile.outputs;
    body(row, std::min(tile.rows, rows - row), output, std::min(tile.outputs, outputs - output));
  });
}

}  // namespace defectoscope
