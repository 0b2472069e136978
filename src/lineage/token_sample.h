#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "tensor/matrix.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {

/// A sample of a vocabulary that any two models share as far as their vocabularies do: the `count` entries of
/// smallest hash (bottom-k sketch, Cohen and Kaplan 2007). A hash is the first eight bytes of SHA-256 of the
/// entry in readable_token form, so that byte letters ("Ġthe") and "▁the" are the same string. Special tokens
/// are left out; of entries spelled alike the first counts.
struct TokenSample {
  std::vector<std::uint64_t> hashes;  ///< ascending
  std::vector<TokenId> ids;           ///< of the same entries
};
/// Entries with ids below `vocab_size` (the embedding's rows). One SHA-256 an entry.
TokenSample sample_tokens(const Tokenizer& tokenizer, Index vocab_size, Index count);

/// The embedding of sampled tokens without what unrelated models share: mean and leading directions
/// ("frequency"). X = E_s − mean, Y = X (I − V_r V_rᵀ), V_r the leading right singular vectors; whitened
/// Y (C + λI)^(−½), C = YᵀY.
class TokenProjector {
 public:
  /// `embedded` [n, d]: embedded_tokens of the sample; `removed` leading directions; `ridge` λ over the mean
  /// eigenvalue of C (0: the inverse square root on C's range), none: unwhitened. Cost: O(min(n, d)²
  /// max(n, d)), whitened with all eigenvectors of the shorter side.
  TokenProjector(ConstMatrixView embedded, Index removed, std::optional<double> ridge = {});

  Index tokens() const { return rows_.rows(); }
  /// What stands for a dimension in the null law of Y u, u random: tr(G)² / tr(G²), G = Y Yᵀ.
  double effective_dimension() const { return effective_dimension_; }
  /// Rows of u [k, d] to unit rows [k, n] (zero where Y u is zero): the vocabulary signature s = E u.
  /// Survives any rotation, permutation and sign of the hidden space.
  Matrix signatures(ConstMatrixView u) const;

 private:
  void whiten(double ridge);
  DoubleMatrix rows_;  // Y [n, d]
  double effective_dimension_ = 0;
};

}  // namespace defectoscope
