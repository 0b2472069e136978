#include "lineage/logit_difference.h"

#include <algorithm>
#include <cmath>

#include "base/random.h"
#include "forward/transformer.h"

namespace defectoscope {
namespace {

constexpr Index kProbes = 16;

Matrix logits_at(const Model& model, const TokenIds& tokens) {
  const Transformer transformer(model);
  const Batch batch(std::vector<TokenIds>{tokens});
  const Matrix states = transformer.final_states(batch);
  Matrix logits(states.rows(), model.config().vocab_size);
  transformer.logits(states, logits);
  return logits;
}

}  // namespace

double logit_difference(const Model& a, const Model& b) {
  const Index entries = std::min(a.config().vocab_size, b.config().vocab_size);
  Random random(1);
  TokenIds tokens;
  for (Index i = 0; i < kProbes; ++i)
    tokens.push_back(static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(entries))));
  const Matrix x = logits_at(a, tokens), y = logits_at(b, tokens);
  double difference = 0, size = 0;
  for (Index r = 0; r < x.rows(); ++r)
    for (Index c = 0; c < entries; ++c) {
      difference += std::pow(static_cast<double>(y(r, c)) - static_cast<double>(x(r, c)), 2);
      size += std::pow(static_cast<double>(x(r, c)), 2);
    }
  return size > 0 ? std::sqrt(difference / size) : difference > 0 ? 1 : 0;
}

}  // namespace defectoscope
