#include "forward/rotary_tables.h"

#include <algorithm>

#include "forward/positions.h"

namespace defectoscope {
namespace {

Index length_of(const std::vector<Index>& positions) {
  return positions.empty() ? 0 : *std::ranges::max_element(positions) + 1;
}

Matrix stacked(const Matrix& above, const Matrix& below) {
  Matrix both(above.rows() + below.rows(), above.cols());
  std::copy_n(above.data(), above.rows() * above.cols(), both.data());
  std::copy_n(below.data(), below.rows() * below.cols(), both.data() + above.rows() * above.cols());
  return both;
}

}  // namespace

RotaryRows RotaryTables::of(const Batch& batch, const std::vector<Index>& positions) const {
  RotaryRows turning{usual_table(length_of(positions)), positions};
  const RopeScaling& scaling = config_.rope_scaling;
  if (scaling.kind != RopeScaling::Kind::kLongRope) return turning;
  const Index long_rows = turning.table->positions() / 2;
  for (std::size_t i = 0; i < batch.sequences.size(); ++i) {
    const auto begin = static_cast<std::size_t>(batch.begin[i]), end = begin + batch.sequences[i].size();
    if (begin == end || static_cast<double>(positions[end - 1] + 1) <= scaling.original_max_positions)
      continue;
    for (std::size_t row = begin; row < end; ++row) turning.rows[row] += long_rows;
  }
  return turning;
}

RotaryRows RotaryTables::local(const Batch& batch, const std::vector<Index>& positions) const {
  if (config_.local_rope_base == 0) return of(batch, positions);
  return {local_table(length_of(positions)), positions};
}

std::shared_ptr<const RotaryTable> RotaryTables::usual_table(Index positions) const {
  const bool two = config_.rope_scaling.kind == RopeScaling::Kind::kLongRope;
  const std::lock_guard lock(mutex_);
  if (usual_ && usual_->positions() >= (two ? 2 * positions : positions)) return usual_;
  const double magnitude = config_.rope_scaling.magnitude;
  RotaryTable table = make_rotary_table(rotary_frequencies(config_, false), positions, magnitude);
  if (two) {
    const RotaryTable far = make_rotary_table(rotary_frequencies(config_, true), positions, magnitude);
    table = {stacked(table.cosine, far.cosine), stacked(table.sine, far.sine)};
  }
  usual_ = std::make_shared<const RotaryTable>(std::move(table));
  return usual_;
}

std::shared_ptr<const RotaryTable> RotaryTables::local_table(Index positions) const {
  const std::lock_guard lock(mutex_);
  if (!local_ || local_->positions() < positions)
    local_ =
        std::make_shared<const RotaryTable>(make_rotary_table(local_rotary_frequencies(config_), positions));
  return local_;
}

}  // namespace defectoscope
