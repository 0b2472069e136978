#include "kernels/attention.h"

#include <oneapi/dnnl/dnnl.h>

#include <cmath>
#include <vector>

#include "base/parallel.h"
#include "base/single_thread.h"
#include "kernels/pointwise.h"

namespace defectoscope {
namespace {

struct KeyRange {
  Index first, last;  ///< [first, last)
};

/// The keys that the query at `position` sees.
KeyRange visible(const AttentionParameters& p, Index position, Index keys) {
  const Index last = p.causal ? position + 1 : p.window > 0 ? position + p.window : keys;
  const Index first = p.window > 0 ? position - p.window + 1 : 0;
  return {std::clamp<Index>(first, 0, keys), std::clamp<Index>(last, 0, keys)};
}

Index value_dim_of(const AttentionParameters& p) { return p.value_dim > 0 ? p.value_dim : p.head_dim; }

/// Queries of one tile: more on long sequences, where the packing of the keys pays and the masked corner of a
/// causal block weighs less; fewer where the block of scores would exceed 2 MiB.
Index queries_together(Index keys) {
  return std::clamp<Index>((Index{1} << 19) / std::max<Index>(1, keys), 8, keys < 1024 ? 64 : 128);
}

class Tile {
 public:
  Tile(const AttentionParameters& parameters, ConstMatrixView q, ConstMatrixView k, ConstMatrixView v,
       MatrixView out)
      : p_(parameters), q_(q), k_(k), v_(v), out_(out) {}

  /// Queries [begin, end) of one head; adds to `received` unless it is null.
  void run(Index head, Index begin, Index end, float* received) const {
    thread_local std::vector<float> scores;
    const KeyRange low = visible(p_, p_.offset + begin, k_.rows());
    const KeyRange high = visible(p_, p_.offset + end - 1, k_.rows());
    const Index first = low.first;
    const Index keys = high.last - first;
    const Index queries = end - begin;
    const Index dim = p_.head_dim, value_dim = value_dim_of(p_);
    float* out = out_.data() + begin * out_.stride() + head * value_dim;
    if (keys <= 0) {
      for (Index i = 0; i < queries; ++i) std::fill_n(out + i * out_.stride(), value_dim, 0.0f);
      return;
    }
    const Index stride = (keys + 15) / 16 * 16;
    scores.resize(static_cast<std::size_t>(queries * stride));
    const Index kv_head = head / (p_.heads / p_.kv_heads);

    const SingleThreadScope single_thread;
    dnnl_sgemm('N', 'T', queries, keys, dim, p_.scale, q_.data() + begin * q_.stride() + head * dim,
               q_.stride(), k_.data() + first * k_.stride() + kv_head * dim, k_.stride(), 0.0f, scores.data(),
               stride);
    for (Index i = 0; i < queries; ++i) {
      const Index position = p_.offset + begin + i;
      const KeyRange range = visible(p_, position, k_.rows());
      const std::span row(scores.data() + i * stride, static_cast<std::size_t>(keys));
      probabilities(head, position, first, range, row);
      if (received != nullptr)
        for (Index j = range.first; j < range.last; ++j)
          if (j != position) received[j] += row[static_cast<std::size_t>(j - first)];
    }
    dnnl_sgemm('N', 'N', queries, value_dim, keys, 1.0f, scores.data(), stride,
               v_.data() + first * v_.stride() + kv_head * value_dim, v_.stride(), 0.0f, out, out_.stride());
  }

 private:
  /// A row of scores of keys first, first + 1, ... to probabilities; 0 outside `range`.
  void probabilities(Index head, Index position, Index first, KeyRange range, std::span<float> row) const {
    const auto begin = static_cast<std::size_t>(range.first - first);
    const auto count = static_cast<std::size_t>(std::max<Index>(0, range.last - range.first));
    std::fill_n(row.begin(), begin, 0.0f);
    std::fill(row.begin() + static_cast<std::ptrdiff_t>(begin + count), row.end(), 0.0f);
    const std::span<float> seen = row.subspan(begin, count);
    if (p_.soft_cap > 0)
      for (float& score : seen) score = p_.soft_cap * std::tanh(score / p_.soft_cap);
    if (!p_.alibi_slopes.empty()) {
      const float slope = p_.alibi_slopes[static_cast<std::size_t>(head)];
      for (std::size_t j = 0; j < count; ++j)
        seen[j] -= slope * static_cast<float>(std::abs(position - range.first - static_cast<Index>(j)));
    }
    if (p_.sinks.empty() || seen.empty()) return softmax(seen);
    // Softmax over the keys leaves 1 / sum exp(score − top) at the top score.
    const float top = *std::ranges::max_element(seen);
    softmax(seen);
    const double sum = 1 / static_cast<double>(*std::ranges::max_element(seen));
    const double sink = std::exp(static_cast<double>(p_.sinks[static_cast<std::size_t>(head)] - top));
    const auto share = static_cast<float>(sum / (sum + sink));
    for (float& probability : seen) probability *= share;
  }

  const AttentionParameters& p_;
  ConstMatrixView q_, k_, v_;
  MatrixView out_;
};

}  // namespace

void attention(const AttentionParameters& parameters, ConstMatrixView q, ConstMatrixView k, ConstMatrixView v,
               MatrixView out, std::span<float> received) {
  const AttentionParameters& p = parameters;
  assert(p.heads > 0 && p.kv_heads > 0 && p.heads % p.kv_heads == 0);
  assert(q.cols() == p.heads * p.head_dim && out.cols() == p.heads * value_dim_of(p) &&
         out.rows() == q.rows());
  assert(k.cols() == p.kv_heads * p.head_dim && v.cols() == p.kv_heads * value_dim_of(p) &&
         v.rows() == k.rows());
  assert(received.empty() || static_cast<Index>(received.size()) == k.rows());
  assert(p.alibi_slopes.empty() || static_cast<Index>(p.alibi_slopes.size()) == p.heads);
  assert(p.sinks.empty() || static_cast<Index>(p.sinks.size()) == p.heads);
  if (q.rows() == 0) return;
  const Tile tile(p, q, k, v, out);
  const Index step = queries_together(k.rows());
  const Index blocks = (q.rows() + step - 1) / step;
  const auto run_block = [&](Index head, Index block, float* sums) {
    tile.run(head, block * step, std::min(q.rows(), (block + 1) * step), sums);
  };
  if (received.empty()) {
    // The late, longest blocks of a causal sequence first, so that no thread is left alone with them.
    parallel_for(p.heads * blocks,
                 [&](Index i) { run_block(i % p.heads, blocks - 1 - i / p.heads, nullptr); });
    return;
  }
  // Each head adds into rows of its own, one for every fourth block; they are then added in order.
  const Index parts = std::min<Index>(blocks, 4);
  Matrix sums(p.heads * parts, k.rows());
  parallel_for(p.heads * parts, [&](Index i) {
    for (Index block = i % parts; block < blocks; block += parts)
      run_block(i / parts, block, sums.data() + i * sums.cols());
  });
  for (Index j = 0; j < k.rows(); ++j) {
    double sum = 0;
    for (Index i = 0; i < sums.rows(); ++i) sum += static_cast<double>(sums(i, j));
    received[static_cast<std::size_t>(j)] = static_cast<float>(sum);
  }
}

void attention_query_counts(const AttentionParameters& parameters, Index queries, std::span<Index> counts) {
  std::fill(counts.begin(), counts.end(), 0);
  const auto keys = static_cast<Index>(counts.size());
  for (Index i = 0; i < queries; ++i) {
    const Index position = parameters.offset + i;
    const KeyRange range = visible(parameters, position, keys);
    for (Index j = range.first; j < range.last; ++j)
      if (j != position) ++counts[static_cast<std::size_t>(j)];
  }
}

}  // namespace defectoscope
