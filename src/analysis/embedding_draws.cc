#include "analysis/embedding_draws.h"

#include <cmath>

#include "base/parallel.h"
#include "base/random.h"
#include "kernels/pointwise.h"

namespace defectoscope {
namespace {

constexpr Index kCombined = 64;
constexpr Index kDrawPiece = 2048;
constexpr Index kDrawsAtOnce = 32;

std::vector<TokenIds> entries(Index first, Index count) {
  std::vector<TokenIds> sequences;
  for (Index i = 0; i < count; ++i) sequences.push_back({static_cast<std::int32_t>(first + i)});
  return sequences;
}

}  // namespace

EmbeddingDraws::EmbeddingDraws(const Transformer& transformer, bool paper_parity, std::uint64_t seed)
    : transformer_(transformer), paper_parity_(paper_parity), seed_(seed) {
  const ModelConfig& config = transformer.model().config();
  mean_.resize(static_cast<std::size_t>(config.hidden_size));
  for (Index first = 0; first < config.vocab_size; first += kDrawPiece) {
    const Index count = std::min(kDrawPiece, config.vocab_size - first);
    const Matrix states = transformer.embed(Batch(entries(first, count)));
    for (Index r = 0; r < count; ++r) {
      mean_norm_ += norm(states.row(r));
      for (std::size_t i = 0; i < mean_.size(); ++i) mean_[i] += static_cast<double>(states.row(r)[i]);
    }
  }
  const auto vocabulary = static_cast<double>(config.vocab_size);
  mean_norm_ /= vocabulary;
  for (double& value : mean_) value /= vocabulary;
}

void EmbeddingDraws::draw(Index first, MatrixView out) const {
  const auto vocabulary = static_cast<std::uint64_t>(transformer_.model().config().vocab_size);
  const Index tiles = (out.rows() + kDrawsAtOnce - 1) / kDrawsAtOnce;
  parallel_for(tiles, [&](Index tile) {
    const Index begin = tile * kDrawsAtOnce, end = std::min(out.rows(), begin + kDrawsAtOnce);
    for (Index r = begin; r < end; ++r) {
      Random random(seed_, static_cast<std::uint64_t>(first + r) + 1);
      const std::span<float> row = out.row(r);
      std::vector<double> sum(row.size());
      if (paper_parity_) {
        double square = 0;
        for (double& value : sum) {
          value = random.normal();
          square += value * value;
        }
        for (double& value : sum) value *= mean_norm_ / std::sqrt(square);
      } else {
        sum = mean_;
        std::vector<TokenIds> chosen;
        for (Index i = 0; i < kCombined; ++i)
          chosen.push_back({static_cast<std::int32_t>(random.below(vocabulary))});
        const Matrix states = transformer_.embed(Batch(std::move(chosen)));
        for (Index k = 0; k < kCombined; ++k) {
          const double weight = random.normal() / std::sqrt(static_cast<double>(kCombined));
          for (std::size_t i = 0; i < sum.size(); ++i)
            sum[i] += weight * (static_cast<double>(states.row(k)[i]) - mean_[i]);
        }
      }
      for (std::size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>(sum[i]);
    }
  });
}

}  // namespace defectoscope
