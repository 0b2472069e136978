#include "lineage/logit_difference.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "base/error.h"
#include "base/random.h"
#include "forward/transformer.h"
#include "lineage/moved_tokens.h"

namespace defectoscope {
namespace {

constexpr Index kProbes = 16;
constexpr Index kTokensOfText = 256;

Matrix logits_at(const Model& model, const TokenIds& tokens) {
  const Transformer transformer(model);
  const Batch batch(std::vector<TokenIds>{tokens});
  const Matrix states = transformer.final_states(batch);
  Matrix logits(states.rows(), model.config().vocab_size);
  transformer.logits(states, logits);
  return logits;
}

TokenIds seeded_tokens(Index count, Index entries) {
  Random random(1);
  TokenIds tokens;
  for (Index i = 0; i < count; ++i)
    tokens.push_back(static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(entries))));
  return tokens;
}

/// Null where the model's folder has none that can be read.
std::unique_ptr<Tokenizer> tokenizer_of(const Model& model) {
  try {
    return open_tokenizer(model.folder());
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kBadInput) throw;
    return nullptr;
  }
}

/// Both models' tokenizers, and the id in b of every entry of a.
struct Matched {
  Matched(const Model& model_a, const Model& model_b)
      : entries(std::min(model_a.config().vocab_size, model_b.config().vocab_size)),
        a(tokenizer_of(model_a)),
        b(tokenizer_of(model_b)) {
    if (a && b) ids = ids_by_spelling(*a, *b, entries);
  }
  TokenId id(TokenId of_a) const {
    const TokenId of_b = ids.empty() || of_a >= entries ? of_a : ids[static_cast<std::size_t>(of_a)];
    return of_b < entries ? of_b : of_a;
  }
  TokenIds all(TokenIds tokens) const {
    for (TokenId& token : tokens) token = id(token);
    return tokens;
  }

  Index entries;
  std::unique_ptr<Tokenizer> a, b;
  std::vector<TokenId> ids;
};

}  // namespace

double logit_difference(const Model& a, const Model& b) {
  const Matched matched(a, b);
  const TokenIds tokens = seeded_tokens(kProbes, matched.entries);
  const Matrix x = logits_at(a, tokens), y = logits_at(b, matched.all(tokens));
  double difference = 0, size = 0;
  for (Index r = 0; r < x.rows(); ++r)
    for (Index c = 0; c < matched.entries; ++c) {
      const double of_a = static_cast<double>(x(r, c));
      difference += std::pow(static_cast<double>(y(r, matched.id(static_cast<TokenId>(c)))) - of_a, 2);
      size += std::pow(of_a, 2);
    }
  return size > 0 ? std::sqrt(difference / size) : difference > 0 ? 1 : 0;
}

std::optional<bool> text_is_cut_alike(const Model& a, const Model& b) {
  const Matched matched(a, b);
  if (!matched.a || !matched.b) return std::nullopt;
  const std::string text =
      matched.a->decode(seeded_tokens(kTokensOfText, std::min(matched.entries, matched.a->size())));
  return matched.all(matched.a->encode(text, true)) == matched.b->encode(text, true);
}

}  // namespace defectoscope
