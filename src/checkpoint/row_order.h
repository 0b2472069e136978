#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "base/index.h"
#include "tensor/dtype.h"

namespace defectoscope {

/// What a converter does to the rows of a tensor beside naming it; undone on reading.
enum class RowChange {
  kNone,
  kPermutedQuery,  ///< each head's rows interleaved: row 2i + s of a head was its row s * head_dim / 2 + i
  kPermutedKey,    ///< the same for the key-value heads
  kTransposed,     ///< stored [out, in], where the family's own files have [in, out]
  kOneRow,         ///< a vector, where the family's own files have a matrix of one row
  kRegrouped       ///< stored all queries, all keys, all values; were, for each key-value head, its own
};

/// Where the rows of the family's own tensor stand among those of a file.
struct RowOrder {
  Index rows = 0, cols = 0;  ///< as stored
  Index heads = 0;           ///< of permuted or regrouped rows; 0 where rows stand as they did
  Index kv_heads = 0;        ///< of regrouped rows; 0 where they are permuted
  bool transposed = false;

  bool in_place() const { return heads == 0 && !transposed; }
  Index stored_row(Index row) const;

  /// Writes row `stored_row`, cols values.
  using ReadRow = std::function<void(Index stored_row, std::byte* out)>;
  /// All rows · cols values in the order of the family's own file, in parallel.
  void make(DType type, const ReadRow& read, std::byte* out) const;

 private:
  Index permuted_row(Index row) const;
  Index regrouped_row(Index row) const;
};

/// The order of a stored tensor of that shape; `shape` becomes the family's. False where the change is not
/// possible: rows that heads do not divide, something else than a matrix to transpose.
bool undo_row_change(RowChange change, Index heads, Index kv_heads, std::vector<Index>& shape,
                     RowOrder& order);

}  // namespace defectoscope
