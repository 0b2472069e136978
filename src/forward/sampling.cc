#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "base/random.h"
#include "forward/kv_cache.h"
#include "forward/transformer_parts.h"

namespace defectoscope {
namespace {

/// Bounds the logits' memory; beyond it more rows make a decoding step no cheaper per row.
constexpr Index kMostSequences = 64;

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

/// A sequence that still grows.
struct Growing {
  std::size_t index;  ///< among all sequences
  Random random;
};

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
  const Index fit = parts_->options.kv_cache_bytes / std::max<Index>(1, KvCache::bytes(config, length));
  const Index group = std::clamp<Index>(fit, 1, kMostSequences);

  std::size_t next = 0;
  while (next < all.size()) {
    std::vector<Growing> growing;
    std::vector<KvCache> caches;
    std::vector<TokenIds> fed;  // the tokens each sequence's cache has not seen
    for (; next < all.size() && static_cast<Index>(growing.size()) < group; ++next) {
      if (static_cast<Index>(all[next].size()) >= length) continue;
      growing.push_back({next, Random(seed, next)});
      caches.emplace_back(config, length);
      fed.push_back(all[next]);
    }
    while (!growing.empty()) {
      const Batch batch(std::move(fed));
      const Matrix states = run_cached(batch, caches);
      const auto count = static_cast<Index>(growing.size());
      Matrix last(count, config.hidden_size);
      for (std::size_t i = 0; i < growing.size(); ++i) {
        const auto row = states.row(batch.begin[i + 1] - 1);
        std::copy(row.begin(), row.end(), last.row(static_cast<Index>(i)).begin());
      }
      Matrix scores(count, config.vocab_size);
      logits(last, scores);
      std::vector<std::int32_t> chosen(growing.size());
      parallel_for(count, [&](Index i) {
        const auto at = static_cast<std::size_t>(i);
        chosen[at] = choose(scores.row(i), temperature, growing[at].random);
      });

      fed.clear();
      std::size_t kept = 0;
      for (std::size_t i = 0; i < growing.size(); ++i) {
        TokenIds& sequence = all[growing[i].index];
        sequence.push_back(chosen[i]);
        if (config.eos_token == chosen[i] || static_cast<Index>(sequence.size()) >= length) continue;
        fed.push_back({chosen[i]});
        if (kept != i) {
          growing[kept] = growing[i];
          std::swap(caches[kept], caches[i]);
        }
        ++kept;
      }
      growing.erase(growing.begin() + static_cast<std::ptrdiff_t>(kept), growing.end());
      caches.erase(caches.begin() + static_cast<std::ptrdiff_t>(kept), caches.end());
    }
  }
  return all;
}

}  // namespace defectoscope
