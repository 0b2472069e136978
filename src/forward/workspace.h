#pragma once

#include "model/config.h"
#include "tensor/matrix.h"

namespace defectoscope {

/// The buffers of one block's pass over `rows` rows, allocated once and used by every layer. Attention's and
/// the FFN's share memory: neither outlives its half of the block.
class Workspace {
 public:
  Workspace(const ModelConfig& config, Index rows);

  MatrixView normed(Index rows) { return normed_.view().block_rows(0, rows); }  ///< [rows, d]
  /// [rows, d]; only where attention and FFN run in parallel.
  MatrixView branch(Index rows) { return branch_.view().block_rows(0, rows); }
  MatrixView query(Index rows) { return part(rows, 0, query_); }
  MatrixView context(Index rows) { return part(rows, query_, context_); }
  MatrixView key(Index rows) { return part(rows, query_ + context_, key_); }
  MatrixView value(Index rows) { return part(rows, query_ + context_ + key_, value_); }
  MatrixView up(Index rows) { return part(rows, 0, ffn_); }
  MatrixView gate(Index rows) { return part(rows, ffn_, ffn_); }

 private:
  /// `cols` columns that begin `before` columns into the shared memory; contiguous rows.
  MatrixView part(Index rows, Index before, Index cols) {
    return {shared_.data() + before * shared_.rows(), rows, cols};
  }
  Index query_, context_, key_, value_, ffn_;
  Matrix normed_, branch_, shared_;
};

}  // namespace defectoscope
