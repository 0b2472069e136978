#include "lineage/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "analysis/angle.h"
#include "base/error.h"
#include "kernels/pointwise.h"
#include "lineage/direction_sets.h"
#include "lineage/embedding_alignment.h"
#include "lineage/empirical_null.h"
#include "lineage/invariants.h"
#include "lineage/null_law.h"
#include "lineage/shared_tokens.h"
#include "spectral/basis.h"

namespace defectoscope {
namespace {

constexpr Index kClosestPairs = 8;
const double kLogSuspicious = std::log(0.01);

bool exists(std::span<const float> direction) { return norm(direction) > 0; }

/// Adds one angle to the evidence.
void count(Evidence& evidence, std::span<const float> x, std::span<const float> y, Index layer_a,
           Index layer_b, double degrees) {
  const double beta = log_beta_tail(degrees, evidence.dimension);
  const double permutation = log_permutation_tail(x, y);
  evidence.log_p_beta = std::min(evidence.log_p_beta, beta);
  evidence.log_p_permutation = std::min(evidence.log_p_permutation, permutation);
  evidence.log_p_laws = std::min(evidence.log_p_laws, std::max(beta, permutation));
  if (degrees < evidence.distance_degrees || evidence.comparisons == 0) {
    evidence.distance_degrees = degrees;
    evidence.layer_a = layer_a;
    evidence.layer_b = layer_b;
  }
  ++evidence.comparisons;
}

/// min(1, n · p) of what count() collected.
void correct(Evidence& evidence) {
  const double factor = std::log(static_cast<double>(std::max<Index>(1, evidence.comparisons)));
  evidence.score = -(evidence.log_p_laws + factor);
  for (double* log_p : {&evidence.log_p_beta, &evidence.log_p_permutation, &evidence.log_p_laws})
    *log_p = std::min(0.0, *log_p + factor);
}

/// Same-numbered rows of two matrices, where `part` says so.
template <typename Part>
Evidence same_layers(EvidenceKind kind, const DirectionSet& set, Part part) {
  const Matrix &a = set.a, &b = set.b;
  Evidence evidence{.kind = kind, .not_compared = {}, .angles_degrees = {}, .dimension = set.dimension};
  for (Index i = 0; i < std::min(a.rows(), b.rows()); ++i) {
    evidence.angles_degrees.push_back(std::numeric_limits<double>::quiet_NaN());
    if (!part(i) || !exists(a.row(i)) || !exists(b.row(i))) continue;
    const double degrees = acute_angle_degrees(a.row(i), b.row(i));
    evidence.angles_degrees.back() = degrees;
    count(evidence, a.row(i), b.row(i), i, i, degrees);
  }
  correct(evidence);
  if (evidence.comparisons == 0) evidence.not_compared = "no layer has a direction in both models";
  return evidence;
}

Evidence all_same_layers(EvidenceKind kind, const DirectionSet& set) {
  return same_layers(kind, set, [](Index) { return true; });
}

Evidence any_layers(const DirectionSet& set) {
  const Matrix &a = set.a, &b = set.b;
  Evidence evidence{
      .kind = EvidenceKind::kAnyLayers, .not_compared = {}, .angles_degrees = {}, .dimension = set.dimension};
  DoubleMatrix cosines(a.rows(), b.rows());
  rows_by_rows(to_double(a), to_double(b), cosines);
  std::vector<std::pair<Index, Index>> pairs;
  for (Index i = 0; i < a.rows(); ++i)
    for (Index k = 0; k < b.rows(); ++k)
      if (exists(a.row(i)) && exists(b.row(k))) pairs.emplace_back(i, k);
  // Only the closest can have the smallest p that is looked for; the correction is for all.
  const auto closest = pairs.begin() + std::min<std::ptrdiff_t>(kClosestPairs, std::ssize(pairs));
  std::partial_sort(pairs.begin(), closest, pairs.end(), [&](const auto& p, const auto& q) {
    const double x = std::abs(cosines(p.first, p.second)), y = std::abs(cosines(q.first, q.second));
    return x != y ? x > y : p < q;
  });
  for (auto pair = pairs.begin(); pair != closest; ++pair) {
    const auto x = a.row(pair->first), y = b.row(pair->second);
    count(evidence, x, y, pair->first, pair->second, acute_angle_degrees(x, y));
  }
  evidence.comparisons = std::ssize(pairs);
  correct(evidence);
  if (pairs.empty()) evidence.not_compared = "no layer has a direction in both models";
  return evidence;
}

Evidence not_compared(EvidenceKind kind, std::string reason) {
  return {.kind = kind, .not_compared = std::move(reason), .angles_degrees = {}};
}

std::string other_width(const Signature& a, const Signature& b) {
  return fmt::format("hidden states of different width ({} and {})", a.hidden_size, b.hidden_size);
}

bool is_explosion_like(const Signature& s, Index layer) {
  return s.singular_values(layer, 0) >= kExplosionGap * s.singular_values(layer, 1);
}

void compare_directions(const Signature& a, const Signature& b, const DirectionSets& sets,
                        std::vector<Evidence>& list) {
  if (!sets.layers) {
    const std::string reason = other_width(a, b);
    for (const EvidenceKind kind : {EvidenceKind::kLayers, EvidenceKind::kFfns,
                                    EvidenceKind::kExplosionLayers, EvidenceKind::kAnyLayers})
      list.push_back(not_compared(kind, reason));
    return;
  }
  const auto explosion = [&](Index i) { return is_explosion_like(a, i) && is_explosion_like(b, i); };
  list.push_back(all_same_layers(EvidenceKind::kLayers, *sets.layers));
  list.push_back(all_same_layers(EvidenceKind::kFfns, *sets.ffns));
  list.push_back(same_layers(EvidenceKind::kExplosionLayers, *sets.layers, explosion));
  if (!list.back().compared())
    list.back().not_compared = "no layer amplifies one direction above all others in both models";
  list.push_back(any_layers(*sets.layers));
}

void compare_tokens(const Signature& a, const Signature& b, const DirectionSets& sets,
                    std::vector<Evidence>& list) {
  if (sets.tokens) {
    list.push_back(all_same_layers(EvidenceKind::kTokens, *sets.tokens));
    list.push_back(all_same_layers(EvidenceKind::kFfnTokens, *sets.ffn_tokens));
    return;
  }
  std::string reason;
  if (a.tokens() == 0 || b.tokens() == 0)
    reason = fmt::format("no vocabulary in the signature of {}", a.tokens() == 0 ? a.model : b.model);
  else
    reason = fmt::format("different vocabularies: {} shared tokens among {} and {} sampled, {} needed",
                         sets.shared_tokens, a.tokens(), b.tokens(), kLeastSharedTokens);
  list.push_back(not_compared(EvidenceKind::kTokens, reason));
  list.push_back(not_compared(EvidenceKind::kFfnTokens, reason));
}

void compare_aligned(const DirectionSets& sets, const EmbeddingAlignment* alignment,
                     std::vector<Evidence>& list) {
  if (sets.aligned) {
    list.push_back(all_same_layers(EvidenceKind::kAligned, *sets.aligned));
    list.push_back(all_same_layers(EvidenceKind::kAlignedFfns, *sets.aligned_ffns));
    return;
  }
  const std::string reason =
      alignment != nullptr ? alignment->not_aligned : "signatures hold no embedding: give both models";
  list.push_back(not_compared(EvidenceKind::kAligned, reason));
  list.push_back(not_compared(EvidenceKind::kAlignedFfns, reason));
}

/// A pair of rows that stand for whole models.
Evidence whole(EvidenceKind kind, const std::vector<float>& x, const std::vector<float>& y) {
  Evidence evidence{.kind = kind, .not_compared = {}, .angles_degrees = {}};
  evidence.dimension = static_cast<double>(x.size()) - 1;
  const double r = correlation(x, y);
  count(evidence, x, y, 0, 0, r > 0 ? acute_angle_degrees(x, y) : 90);
  correct(evidence);
  if (r <= 0) evidence.log_p_beta = evidence.log_p_permutation = evidence.log_p_laws = 0;
  evidence.score = std::atanh(std::min(r, 1.0));
  return evidence;
}

/// A signature, and its gram_signature() where somebody has it.
struct Held {
  const Signature& signature;
  const std::vector<float>* known_gram = nullptr;
  std::vector<float> gram() const { return known_gram == nullptr ? gram_signature(signature) : *known_gram; }
};

void compare_invariants(const Held& held_a, const Held& held_b, std::vector<Evidence>& list) {
  const Signature &a = held_a.signature, &b = held_b.signature;
  std::string reason;
  if (a.hidden_size != b.hidden_size)
    reason = other_width(a, b);
  else if (a.layers != b.layers)
    reason = fmt::format("different numbers of layers ({} and {})", a.layers, b.layers);
  else if (a.layers < kLeastLayersOfInvariants)
    reason = fmt::format("{} layers, {} needed", a.layers, kLeastLayersOfInvariants);
  if (!reason.empty()) {
    list.push_back(not_compared(EvidenceKind::kGram, reason));
    list.push_back(not_compared(EvidenceKind::kSpectrum, reason));
    return;
  }
  list.push_back(whole(EvidenceKind::kGram, held_a.gram(), held_b.gram()));
  const bool eigenvalues = a.decay_eigenvalues.rows() == a.layers && b.decay_eigenvalues.rows() == b.layers;
  list.push_back(
      whole(EvidenceKind::kSpectrum, spectrum_signature(a, eigenvalues), spectrum_signature(b, eigenvalues)));
}

Verdict verdict_of(const Comparison& comparison) {
  if (!comparison.a.fingerprint.empty() && comparison.a.fingerprint == comparison.b.fingerprint)
    return Verdict::kSameWeights;
  if (!comparison.log_p) return Verdict::kNotComparable;
  if (*comparison.log_p < kLogRelated) return Verdict::kRelated;
  return *comparison.log_p < kLogSuspicious ? Verdict::kSuspicious : Verdict::kNoEvidence;
}

/// The law's p and that of every population of unrelated models; the largest counts.
void judge(Evidence& evidence, std::span<const EmpiricalNull> null) {
  evidence.log_p_empirical.reset();
  for (const EmpiricalNull& population : null) {
    if (population.kind != evidence.kind || population.pairs == 0) continue;
    const double log_p = population.log_p(evidence.score);
    if (evidence.log_p_empirical && log_p <= *evidence.log_p_empirical) continue;
    evidence.log_p_empirical = log_p;
    evidence.extrapolated_below = population.tested_down_to();
  }
  evidence.log_p = std::max(evidence.log_p_laws, evidence.log_p_empirical.value_or(evidence.log_p_laws));
}

}  // namespace

ComparedModel compared_model(const Signature& s) {
  return {s.model, s.family, s.fingerprint, s.hidden_size, s.layers, s.tokens()};
}

std::string evidence_name(EvidenceKind kind) {
  switch (kind) {
    case EvidenceKind::kLayers:
      return "layers";
    case EvidenceKind::kFfns:
      return "ffns";
    case EvidenceKind::kExplosionLayers:
      return "explosion-layers";
    case EvidenceKind::kAnyLayers:
      return "any-layers";
    case EvidenceKind::kTokens:
      return "tokens";
    case EvidenceKind::kFfnTokens:
      return "ffn-tokens";
    case EvidenceKind::kGram:
      return "gram";
    case EvidenceKind::kSpectrum:
      return "spectrum";
    case EvidenceKind::kAligned:
      return "aligned";
    case EvidenceKind::kAlignedFfns:
      break;
  }
  return "aligned-ffns";
}

std::string verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kSameWeights:
      return "same-weights";
    case Verdict::kRelated:
      return "related";
    case Verdict::kSuspicious:
      return "suspicious";
    case Verdict::kNoEvidence:
      return "no-evidence";
    case Verdict::kNotComparable:
      break;
  }
  return "not-comparable";
}

void conclude(Comparison& comparison, std::span<const EmpiricalNull> null) {
  comparison.log_p.reset();
  comparison.carried_by.reset();
  Index kinds = 0;
  for (Evidence& evidence : comparison.evidence) {
    if (!evidence.compared()) continue;
    ++kinds;
    judge(evidence, null);
    if (comparison.log_p && evidence.log_p >= *comparison.log_p) continue;
    comparison.log_p = evidence.log_p;
    comparison.carried_by = evidence.kind;
  }
  if (comparison.log_p)
    comparison.log_p = std::min(0.0, *comparison.log_p + std::log(static_cast<double>(kinds)));
  comparison.verdict = verdict_of(comparison);
}

namespace {

/// compare(); `alignment` may be null.
Comparison held_together(const Held& held_a, const Held& held_b, std::span<const EmpiricalNull> null,
                         const EmbeddingAlignment* alignment) {
  const Signature &a = held_a.signature, &b = held_b.signature;
  if (a.form != b.form)
    throw Error(ErrorKind::kUsage,
                {.what = "signatures of different form cannot be compared",
                 .expected = fmt::format("{} form, as {}", signature_form_name(a.form), a.model),
                 .got = fmt::format("{} form of {}", signature_form_name(b.form), b.model),
                 .hint = "make both with, or both without, --paper-parity"});
  Comparison comparison;
  comparison.a = compared_model(a);
  comparison.b = compared_model(b);
  comparison.form = a.form;
  const DirectionSets sets(a, b, alignment);
  comparison.shared_tokens = sets.shared_tokens;
  compare_directions(a, b, sets, comparison.evidence);
  compare_tokens(a, b, sets, comparison.evidence);
  compare_invariants(held_a, held_b, comparison.evidence);
  compare_aligned(sets, alignment, comparison.evidence);
  if (sets.aligned)
    comparison.embedding_fit =
        EmbeddingFit{alignment->tokens, alignment->spaces.dimension(), alignment->spaces.fit};

  if (comparison.evidence.front().compared())
    comparison.distance_degrees = comparison.evidence.front().distance_degrees;
  conclude(comparison, null);
  if (comparison.verdict == Verdict::kRelated || comparison.verdict == Verdict::kSameWeights)
    comparison.alignment = align_layers(a, b, sets);
  return comparison;
}

/// The unrelated models' signatures are of canonical form: of another form they say nothing.
std::span<const EmpiricalNull> null_of(SignatureForm form) {
  return form == SignatureForm::kCanonical ? shipped_null() : std::span<const EmpiricalNull>();
}

}  // namespace

Comparison compare(const Signature& a, const Signature& b, const EmbeddingAlignment* alignment) {
  return compare(a, b, null_of(a.form), alignment);
}

Comparison compare(const Signature& a, const Signature& b, std::span<const EmpiricalNull> null,
                   const EmbeddingAlignment* alignment) {
  return held_together({a}, {b}, null, alignment);
}

PreparedSignature::PreparedSignature(const Signature& s) : signature(s), gram(gram_signature(s)) {}

Comparison compare(const PreparedSignature& a, const Signature& b) {
  return held_together({a.signature, &a.gram}, {b}, null_of(a.signature.form), nullptr);
}

Comparison compare(const PreparedSignature& a, const PreparedSignature& b) {
  return held_together({a.signature, &a.gram}, {b.signature, &b.gram}, null_of(a.signature.form), nullptr);
}

std::optional<double> smallest_distance(const Comparison& comparison) {
  std::optional<double> smallest;
  for (const Evidence& e : comparison.evidence)
    if (e.compared() && e.kind != EvidenceKind::kAnyLayers && e.kind != EvidenceKind::kGram &&
        e.kind != EvidenceKind::kSpectrum)
      smallest = std::min(e.distance_degrees, smallest.value_or(90));
  return smallest;
}

Comparison among(Comparison comparison, Index models) {
  if (comparison.log_p)
    comparison.log_p = std::min(0.0, *comparison.log_p + std::log(static_cast<double>(models)));
  comparison.verdict = verdict_of(comparison);
  return comparison;
}

}  // namespace defectoscope
