#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "forward/transformer.h"
#include "kernels/rotary.h"

namespace defectoscope {

/// Which row of which table turns each row of a batch.
struct RotaryRows {
  std::shared_ptr<const RotaryTable> table;  ///< empty of channels where the family turns nothing
  std::vector<Index> rows;                   ///< [batch rows]
};

/// A model's rotary tables, kept, and made anew when longer sequences come. Thread-safe.
class RotaryTables {
 public:
  explicit RotaryTables(const ModelConfig& config) : config_(config) {}

  /// Of a batch whose row i stands at positions[i] ≥ 0. LongRoPE turns a sequence by its long factors where
  /// it reaches beyond the original length, whatever else is in the batch.
  RotaryRows of(const Batch& batch, const std::vector<Index>& positions) const;
  /// The same for windowed layers, which have a base of their own in some families.
  RotaryRows local(const Batch& batch, const std::vector<Index>& positions) const;

 private:
  std::shared_ptr<const RotaryTable> usual_table(Index positions) const;
  std::shared_ptr<const RotaryTable> local_table(Index positions) const;

  const ModelConfig& config_;
  mutable std::mutex mutex_;
  /// LongRoPE: the rows of the short factors, then as many of the long ones.
  mutable std::shared_ptr<const RotaryTable> usual_, local_;
};

}  // namespace defectoscope
