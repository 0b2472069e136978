#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "analysis/norm_table.h"
#include "forward/transformer.h"
#include "tensor/matrix.h"

namespace defectoscope {

class ScanJournal;

/// Which states' vectors a pass keeps.
struct KeepRule {
  double threshold = 0;  ///< keep norms above it; 0: above 2.5 times the median of the layer in this batch
  Index most = 4096;     ///< states of a batch; where there are more, those of largest norm
};

/// What one batch left behind.
struct BatchStates {
  std::vector<TokenIds> rows;
  NormTable table;                  ///< of this batch's tokens
  std::vector<std::int32_t> layer;  ///< [kept] 0: embedding
  std::vector<std::int32_t> token;  ///< [kept] within the batch
  std::vector<float> vectors;       ///< [kept · d]
};

/// Runs a batch and keeps norms of all states, attention drawn, and the vectors the rule asks for.
BatchStates collect_batch(const Transformer& transformer, std::vector<TokenIds> rows, const KeepRule& rule);

/// A BatchStates as journal record and back; throws std::out_of_range on a record too short.
std::string to_record(const BatchStates& states);
BatchStates batch_from_record(const std::string& record);

/// Everything collected from a calibration text.
class Collection {
 public:
  explicit Collection(Index hidden_size) : hidden_size_(hidden_size) {}
  void add(BatchStates&& batch);

  const NormTable& table() const { return table_; }
  Index batches() const { return static_cast<Index>(batches_.size()); }
  /// Rows of batch b, to run it again.
  const std::vector<TokenIds>& rows(Index b) const { return batches_[static_cast<std::size_t>(b)].rows; }
  /// First token of batch b in the table; b = batches(): all tokens.
  Index first_token(Index b) const;
  /// Bytes of vectors held.
  Index vector_bytes() const { return vector_bytes_; }

  /// Sum over states with norm above threshold among the kept ones of batches [0, end), [d]; `count` gets
  /// their number.
  std::vector<double> sum_above(double threshold, Index end, Index& count) const;

  friend class HighStates;

 private:
  struct Kept {
    std::vector<TokenIds> rows;
    std::vector<std::int32_t> layer, token;
    std::vector<float> vectors;
  };
  Index hidden_size_;
  NormTable table_;
  std::vector<Kept> batches_;
  std::vector<Index> first_token_{0};
  Index vector_bytes_ = 0;
};

/// All hidden states above a threshold, layer 0 included: their number, their sum, their vectors.
struct HighStatesResult {
  Index count = 0;
  std::vector<double> sum;  ///< [d] over all of them
  std::vector<float>
      vectors;  ///< [kept · d] all of them, or a seeded subset where there are more than `most`
};
/// Takes the vectors out of the collection; batches of which a high state was not kept run a second time.
/// `most`: vectors held at most; a larger population is thinned by a seeded draw that does not depend on the
/// order of computation, while count and sum stay over all.
class HighStates {
 public:
  HighStates(const Transformer& transformer, Collection& collection, std::uint64_t seed)
      : transformer_(transformer), collection_(collection), seed_(seed) {}
  HighStatesResult gather(double threshold, Index most) const;

 private:
  const Transformer& transformer_;
  Collection& collection_;
  std::uint64_t seed_;
};

}  // namespace defectoscope
