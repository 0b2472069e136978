#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "base/random.h"
#include "forward/kv_cache.h"
#include "forward/transformer_parts.h"

namespace defectoscope {
namespace {

/// More rows make a decoding step no cheaper per row.
constexpr Index kMostSequences = 64;
/// Layers below this size stay in a processor's cache: threads then do best with sequences of their own.
/// Above it, decoding is bound by reading the weights, and one reading should serve all sequences.
constexpr Index kCachedWeights = Index{16} << 20;
constexpr Index kCachedKeys = Index{32} << 20;

std::int32_t choose(std::span<const float> logits, double temperature, Random& random) {
  const auto best = std::max_element(logits.begin(), logits.end());
  if (temperature <= 0) return static_cast<std::int32_t>(best - logits.begin());
  const auto weight = [&](float logit) {
    return std::exp((static_cast<double>(logit) - *best) / temperature);
  };
  double total = 0;
  for (const float logit : logits) total += weight(logit);
  double left = random.uniform() * total;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    left -= weight(logits[i]);
    if (left < 0) return static_cast<std::int32_t>(i);
  }
  return static_cast<std::int32_t>(best - logits.begin());
}

Matrix last_rows(const Batch& batch, const Matrix& states) {
  Matrix last(static_cast<Index>(batch.sequences.size()), states.cols());
  for (std::size_t i = 0; i < batch.sequences.size(); ++i) {
    const auto row = states.row(batch.begin[i + 1] - 1);
    std::copy(row.begin(), row.end(), last.row(static_cast<Index>(i)).begin());
  }
  return last;
}

/// Some sequences that grow together, a token each a step.
class Group {
 public:
  Group(const Transformer& transformer, Index length, double temperature, std::uint64_t seed)
      : transformer_(transformer),
        config_(transformer.model().config()),
        length_(length),
        temperature_(temperature),
        seed_(seed) {}

  /// Grows sequences [first, last) of `all` to their ends; a step of `progress` is a token of each.
  void grow(std::vector<TokenIds>& all, std::size_t first, std::size_t last, Progress& progress) {
    std::vector<TokenIds> fed;  // the tokens each sequence's cache has not seen
    for (std::size_t i = first; i < last; ++i) {
      if (static_cast<Index>(all[i].size()) >= length_) continue;
      growing_.push_back({&all[i], Random(seed_, i)});
      caches_.emplace_back(config_, length_);
      fed.push_back(all[i]);
    }
    while (!growing_.empty()) {
      progress.expect();
      fed = step(std::move(fed));
      progress.advance();
    }
  }

 private:
  struct Growing {
    TokenIds* tokens;
    Random random;
  };

  /// One token more for each; returns the tokens to feed next, for those that go on.
  std::vector<TokenIds> step(std::vector<TokenIds> fed) {
    const Batch batch(std::move(fed));
    const Matrix last = last_rows(batch, transformer_.run_cached(batch, caches_));
    Matrix scores(last.rows(), config_.vocab_size);
    transformer_.logits(last, scores);
    std::vector<std::int32_t> chosen(growing_.size());
    parallel_for(last.rows(), [&](Index i) {
      const auto at = static_cast<std::size_t>(i);
      chosen[at] = choose(scores.row(i), temperature_, growing_[at].random);
    });
    std::vector<TokenIds> next;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < growing_.size(); ++i) {
      TokenIds& tokens = *growing_[i].tokens;
      tokens.push_back(chosen[i]);
      if (config_.eos_token == chosen[i] || static_cast<Index>(tokens.size()) >= length_) continue;
      next.push_back({chosen[i]});
      if (kept != i) {
        growing_[kept] = growing_[i];
        std::swap(caches_[kept], caches_[i]);
      }
      ++kept;
    }
    growing_.erase(growing_.begin() + static_cast<std::ptrdiff_t>(kept), growing_.end());
    caches_.erase(caches_.begin() + static_cast<std::ptrdiff_t>(kept), caches_.end());
    return next;
  }

  const Transformer& transformer_;
  const ModelConfig& config_;
  Index length_;
  double temperature_;
  std::uint64_t seed_;
  std::vector<Growing> growing_;
  std::vector<KvCache> caches_;
};

bool stays_in_cache(const ModelConfig& config) {
  const Index matrices = 2 * config.query_size() + 2 * config.kv_size() + 3 * config.ffn_size;
  return config.layers * matrices * config.hidden_size * static_cast<Index>(sizeof(float)) <= kCachedWeights;
}

}  // namespace

std::vector<TokenIds> Transformer::sample(const std::vector<TokenIds>& starts, Index length,
                                          double temperature, std::uint64_t seed) const {
  if (!(temperature >= 0) || std::isinf(temperature))
    throw Error(ErrorKind::kUsage, "the sampling temperature must be 0 or more and finite");
  const ModelConfig& config = model().config();
  if (parts_->position_embedding.defined() && length > parts_->position_embedding.rows)
    throw Error(ErrorKind::kUsage,
                fmt::format("{} has learned positions for {} tokens: sequences of {} cannot be sampled",
                            model().name(), parts_->position_embedding.rows, length));
  std::vector<TokenIds> all = starts;
  const bool own_sequences = stays_in_cache(config);
  const Index memory =
      own_sequences ? std::min(kCachedKeys, parts_->options.kv_cache_bytes) : parts_->options.kv_cache_bytes;
  const Index each = std::max<Index>(1, KvCache::bytes(config, length));
  const Index size = std::clamp<Index>(memory / each, 1, kMostSequences);

  // Which sequences share a product follows from the model alone, whatever the threads.
  const auto count = static_cast<Index>(all.size());
  const Index groups = (count + size - 1) / size;
  const auto grow = [&](Index group) {
    Progress progress("writing text", length);
    Group(*this, length, temperature, seed)
        .grow(all, static_cast<std::size_t>(group * size),
              static_cast<std::size_t>(std::min(count, (group + 1) * size)), progress);
  };
  if (own_sequences) {
    parallel_for(groups, grow);
  } else {
    for (Index group = 0; group < groups; ++group) grow(group);
  }
  return all;
}

}  // namespace defectoscope
