#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lineage/alignment.h"
#include "lineage/signature.h"

namespace defectoscope {

struct EmbeddingAlignment;
struct EmpiricalNull;

/// What two signatures are compared by.
enum class EvidenceKind {
  kLayers,           ///< L's directions of same-numbered layers: the paper's distance
  kFfns,             ///< directions of F alone, which scaling the residual does not turn
  kExplosionLayers,  ///< kLayers where both models' L amplifies one direction above all others
  kAnyLayers,        ///< L's directions, every layer against every other: layers dropped, inserted, moved
  kTokens,           ///< E·u of L over shared vocabulary: any width, any basis of the hidden space
  kFfnTokens,        ///< E·u of F alone
  kGram,        ///< angles of the layers' directions among themselves (gram_signature): any basis, any width
  kSpectrum,    ///< singular values of L and F, decay eigenvalues (spectrum_signature)
  kAligned,     ///< L's directions after the embeddings were laid upon each other (EmbeddingAlignment)
  kAlignedFfns  ///< the same of F alone
};
inline constexpr int kEvidenceKinds = 10;
/// "layers", "ffns", …: what JSON and the terminal call it.
std::string evidence_name(EvidenceKind kind);

/// σ1/σ2 of L from which a layer counts as explosion-like.
inline constexpr float kExplosionGap = 2;

/// One kind of evidence. Logarithms are natural ones of probabilities, at most 0.
struct Evidence {
  EvidenceKind kind = EvidenceKind::kLayers;
  std::string not_compared;  ///< why not; empty where it was, and then the rest exists
  std::vector<double>
      angles_degrees;            ///< of same-numbered layers; NaN where not part of it; empty for kAnyLayers
  double distance_degrees = 90;  ///< the smallest of the angles compared
  Index layer_a = 0, layer_b = 0;  ///< 0-based, where it was
  Index comparisons = 0;           ///< angles looked at
  double dimension = 0;            ///< of the Beta law
  double log_p_beta = 0;           ///< min(1, comparisons · smallest p) under the Beta law alone
  double log_p_permutation = 0;    ///< the same under the permutation law alone
  double log_p_laws = 0;           ///< the same with each angle's larger p of the two
  /// What the empirical null is of: −log_p_laws not cut at p = 1; of kGram and kSpectrum atanh of their
  /// correlation, which says more the more layers there are, and is then only taken for more cautious.
  double score = 0;
  std::optional<double> log_p_empirical =
      {};                         ///< from unrelated models; none where there is no null of this kind
  double extrapolated_below = 0;  ///< p that so many unrelated pairs can show
  double log_p = 0;               ///< the most cautious: the larger of log_p_laws and log_p_empirical
  bool compared() const { return not_compared.empty(); }
};

/// ln(1e-4): at a smaller p two models count as related.
inline constexpr double kLogRelated = -9.2103403719761827;

enum class Verdict {
  kSameWeights,   ///< the fingerprints are equal
  kRelated,       ///< p < 1e-4
  kSuspicious,    ///< p < 0.01
  kNoEvidence,    ///< p ≥ 0.01: unrelated, or related in a way that the signatures do not show
  kNotComparable  ///< nothing could be compared
};
std::string verdict_name(Verdict verdict);  ///< "same-weights", "related", …

/// Of a signature, what a report of a comparison repeats.
struct ComparedModel {
  std::string model, family, fingerprint;
  Index hidden_size = 0, layers = 0, tokens = 0;
};

ComparedModel compared_model(const Signature& signature);

/// How two embeddings lie upon each other.
struct EmbeddingFit {
  Index tokens = 0;     ///< shared ones that the fit saw
  Index dimension = 0;  ///< directions compared after it
  double fit = 0;       ///< AlignedSpaces::fit
};

struct Comparison {
  ComparedModel a, b;
  SignatureForm form = SignatureForm::kCanonical;
  Index shared_tokens = 0;
  std::optional<EmbeddingFit> embedding_fit;  ///< none where the embeddings were not aligned
  std::vector<Evidence> evidence;             ///< one of each kind, in their order
  /// The paper's distance: Evidence::distance_degrees of kLayers; none for models of different width.
  std::optional<double> distance_degrees;
  /// min(1, K · smallest Evidence::log_p) over the K kinds compared; none where nothing was.
  std::optional<double> log_p;
  std::optional<EvidenceKind> carried_by;  ///< the kind of that smallest
  Verdict verdict = Verdict::kNotComparable;
  std::optional<LayerAlignment> alignment;  ///< of related models
};

/// Sets log_p_empirical and log_p of every evidence, and of the whole log_p, carried_by and verdict. `null`:
/// one entry a kind at most; kinds without one are judged by the laws alone.
void conclude(Comparison& comparison, std::span<const EmpiricalNull> null);

/// Compares in O(layers² · d); about 10 ms for 32 layers of width 4096. The distance is the paper's
/// (section 5.2): minimum over same-numbered layers of the acute angle of left singular directions. p-values:
/// per angle the larger of log_beta_tail (dimension d − 1, for tokens the smaller token_dimension) and
/// log_permutation_tail (over hidden dimensions, or tokens), times the number of angles, times the number of
/// kinds: holds however layers and kinds depend on each other. Signatures in canonical form are held against
/// shipped_null() too, and of each kind the larger p counts. Throws Error(kUsage) where the two are of
/// different form.
///
/// `alignment`: of the two models' embeddings, for kAligned and kAlignedFfns; null where a model is not at
/// hand.
Comparison compare(const Signature& a, const Signature& b, const EmbeddingAlignment* alignment = nullptr);
/// The same against another null; an empty one leaves the laws alone.
Comparison compare(const Signature& a, const Signature& b, std::span<const EmpiricalNull> null,
                   const EmbeddingAlignment* alignment = nullptr);
/// What of a signature is worth keeping where it is compared with many: half the time of a comparison.
struct PreparedSignature {
  explicit PreparedSignature(const Signature& signature);
  const Signature& signature;  ///< must outlive this
  std::vector<float> gram;     ///< gram_signature()
};
/// compare(a.signature, b) in less time.
Comparison compare(const PreparedSignature& a, const Signature& b);
Comparison compare(const PreparedSignature& a, const PreparedSignature& b);
/// The same where it is one of `models` comparisons: log_p is min(1, models · p), and the verdict follows it.
Comparison among(Comparison comparison, Index models);
/// The smallest Evidence::distance_degrees of the kinds compared that have one of same-numbered layers; none
/// where nothing was.
std::optional<double> smallest_distance(const Comparison& comparison);

}  // namespace defectoscope
