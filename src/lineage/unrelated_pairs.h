#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "lineage/embedding_alignment.h"
#include "lineage/empirical_null.h"
#include "lineage/signature.h"

namespace defectoscope {

/// Two models known to be independent, compared by the laws alone.
struct UnrelatedPair {
  Index a = 0, b = 0;  ///< a < b, of the signatures given
  Comparison comparison;
};

/// All signature files (*.sig.safetensors) of a folder, in order of their names. Throws as read_signature,
/// and Error(kBadInput) where there is none.
std::vector<Signature> read_signatures(const std::filesystem::path& folder);

/// All with all. `vocabularies`: of the same models in the same order, to align them by; none where only the
/// signatures are at hand. `most_tokens` as for align_embeddings.
std::vector<UnrelatedPair> unrelated_pairs(std::span<const Signature> signatures,
                                           std::span<const EmbeddedVocabulary> vocabularies = {},
                                           Index most_tokens = 0);

/// The null of every kind from those pairs that neither `without_a` nor `without_b` is part of (-1: from
/// all).
std::vector<EmpiricalNull> null_of(std::span<const UnrelatedPair> pairs, Index without_a, Index without_b,
                                   Index goodness_draws);

/// ln p of every pair that was compared, each against the null of all pairs that share no model with it.
/// One refit a pair: O(pairs² log pairs).
std::vector<double> left_out_log_p(std::span<const UnrelatedPair> pairs);

/// Share of probabilities below `p`.
double share_below(std::span<const double> log_p, double p);

}  // namespace defectoscope
