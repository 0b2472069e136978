#include "report/lineage_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "lineage/null_law.h"

namespace defectoscope {
namespace {

std::string described(const ComparedModel& model) {
  return fmt::format("{} ({}, {} layers of width {})", model.model, model.family, model.layers,
                     model.hidden_size);
}

const char* kind_in_words(EvidenceKind kind) {
  switch (kind) {
    case EvidenceKind::kLayers:
      return "directions of same-numbered layers (the paper's distance)";
    case EvidenceKind::kFfns:
      return "directions of same-numbered FFNs";
    case EvidenceKind::kExplosionLayers:
      return "directions of explosion-like layers alone";
    case EvidenceKind::kAnyLayers:
      return "directions of any layer against any other";
    case EvidenceKind::kTokens:
      return "what layers' directions do to the shared vocabulary";
    case EvidenceKind::kFfnTokens:
      return "what FFNs' directions do to the shared vocabulary";
    case EvidenceKind::kGram:
      return "angles of each model's own directions among themselves";
    case EvidenceKind::kSpectrum:
      return "singular values and decay eigenvalues layer by layer";
    case EvidenceKind::kAligned:
      return "directions of layers, the hidden spaces aligned through the shared vocabulary";
    case EvidenceKind::kAlignedFfns:
      break;
  }
  return "directions of FFNs, the hidden spaces aligned through the shared vocabulary";
}

std::string layers_of(const Evidence& evidence) {
  if (evidence.kind == EvidenceKind::kGram || evidence.kind == EvidenceKind::kSpectrum) return "all";
  return evidence.layer_a == evidence.layer_b
             ? std::to_string(evidence.layer_a + 1)
             : fmt::format("{}/{}", evidence.layer_a + 1, evidence.layer_b + 1);
}

std::string evidence_table(const Comparison& comparison) {
  std::string text = fmt::format("{:<18}{:>10}{:>8}{:>8}{:>12}{:>12}{:>12}{:>12}\n", "evidence", "distance",
                                 "layer", "angles", "p, uniform", "p, permuted", "p, models", "p, counted");
  Index kinds = 0;
  for (const Evidence& e : comparison.evidence) {
    if (!e.compared()) continue;
    ++kinds;
    text += fmt::format(
        "{:<18}{:>9.1f}°{:>8}{:>8}{:>12}{:>12}{:>12}{:>12}\n", evidence_name(e.kind), e.distance_degrees,
        layers_of(e), e.comparisons, probability_text(e.log_p_beta), probability_text(e.log_p_permutation),
        e.log_p_empirical ? probability_text(*e.log_p_empirical) : "–", probability_text(e.log_p));
  }
  return text + fmt::format(
                    "p: chance that unrelated models come as close if directions are uniformly random, if "
                    "their coordinates\n"
                    "are in random order, and by pairs of unrelated models. The most cautious counts; the "
                    "smallest that\n"
                    "counts, times {} (kinds compared), is the p of the verdict.\n",
                    kinds);
}

std::string angle_table(const Comparison& comparison) {
  std::string text;
  std::size_t rows = 0;
  for (const Evidence& e : comparison.evidence) rows = std::max(rows, e.angles_degrees.size());
  if (rows == 0) return text;
  text += fmt::format("\n{:<7}", "layer");
  for (const Evidence& e : comparison.evidence)
    if (!e.angles_degrees.empty()) text += fmt::format("{:>18}", evidence_name(e.kind));
  text += "\n";
  for (std::size_t i = 0; i < rows; ++i) {
    text += fmt::format("{:<7}", i + 1);
    for (const Evidence& e : comparison.evidence) {
      if (e.angles_degrees.empty()) continue;
      const bool exists = i < e.angles_degrees.size() && std::isfinite(e.angles_degrees[i]);
      text += exists ? fmt::format("{:>17.1f}°", e.angles_degrees[i]) : fmt::format("{:>18}", "–");
    }
    text += "\n";
  }
  return text;
}

/// Layers of B by layers of A.
std::string alignment_text(const LayerAlignment& alignment) {
  if (alignment.all_in_place()) return "Layers: all in place.\n";
  std::string text = "Layers of the second as layers of the first (– none, > moved, + once more): ";
  for (std::size_t i = 0; i < alignment.layers.size(); ++i) {
    const AlignedLayer& layer = alignment.layers[i];
    const char* mark = layer.fate == LayerFate::kMoved        ? ">"
                       : layer.fate == LayerFate::kDuplicated ? "+"
                                                              : "";
    text += i == 0 ? "" : " ";
    text += layer.counterpart ? fmt::format("{}{}", mark, *layer.counterpart + 1) : std::string("–");
  }
  text += "\n";
  if (alignment.prefix)
    text += fmt::format("The second has the first's layers 1 to {} and none of the later ones.\n",
                        *alignment.prefix);
  else if (!alignment.missing.empty()) {
    text += "Not found in the second:";
    for (const Index i : alignment.missing) text += fmt::format(" {}", i + 1);
    text += "\n";
  }
  return text;
}

}  // namespace

std::string probability_text(double log_p) {
  if (log_p > std::log(1e-3)) return fmt::format("{:.2g}", std::exp(log_p));
  if (!std::isfinite(log_p)) return "0";
  const double log10_p = log_p / std::numbers::ln10;
  double exponent = std::floor(log10_p);
  double digit = std::round(10 * std::pow(10, log10_p - exponent)) / 10;
  if (digit >= 10) digit = 1, ++exponent;
  return fmt::format("{:g}e{:.0f}", digit, exponent);
}

double extrapolated_below(const Evidence& evidence) {
  return std::max(kPermutationTested, evidence.extrapolated_below);
}

double extrapolated_below(const Comparison& comparison) {
  for (const Evidence& evidence : comparison.evidence)
    if (comparison.carried_by == evidence.kind) return extrapolated_below(evidence);
  return kPermutationTested;
}

bool is_extrapolated(const Comparison& comparison) {
  return comparison.log_p && *comparison.log_p < std::log(extrapolated_below(comparison));
}

std::string extrapolation_note(double below) {
  return fmt::format(
      "Below p = {:.2g} this is extrapolated, by the laws of chance or by what unrelated models show: read "
      "such a p as \"very small\".\n",
      below);
}

std::string signature_text(const Signature& signature) {
  std::string text =
      fmt::format("{}: {}, {} layers of width {}, {} form\n", signature.model, signature.family,
                  signature.layers, signature.hidden_size, signature_form_name(signature.form));
  text +=
      signature.tokens() > 0
          ? fmt::format("vocabulary: {} sampled tokens\n", signature.tokens())
          : "vocabulary: none (no tokenizer): models of other widths, or with permuted dimensions, cannot be "
            "compared with it\n";
  text += fmt::format("weights: fingerprint {}\n", signature.fingerprint);
  return text;
}

std::string verdict_sentence(const Comparison& comparison) {
  const std::string p = comparison.log_p ? probability_text(*comparison.log_p) : "";
  switch (comparison.verdict) {
    case Verdict::kSameWeights:
      return "the same weights: the fingerprints are equal";
    case Verdict::kRelated:
      return fmt::format("related: one was made from the other, or both from a common ancestor (p = {})", p);
    case Verdict::kSuspicious:
      return fmt::format("suspicious: closer than unrelated models usually are, no proof (p = {})", p);
    case Verdict::kNoEvidence:
      return fmt::format("no evidence of a common origin (p = {}); that is no proof of independence", p);
    case Verdict::kNotComparable:
      break;
  }
  return "not comparable: neither directions nor vocabularies of the two can be held against each other";
}

std::string comparison_text(const Comparison& comparison) {
  std::string text = fmt::format("{}\n{}\n\n{}\n", described(comparison.a), described(comparison.b),
                                 verdict_sentence(comparison));
  if (comparison.carried_by)
    text += fmt::format("Carried by {} ({}).\n", evidence_name(*comparison.carried_by),
                        kind_in_words(*comparison.carried_by));
  if (comparison.log_p) text += "\n" + evidence_table(comparison);
  if (comparison.embedding_fit)
    text += fmt::format(
        "Embeddings aligned by {} shared tokens in {} dimensions; they agree to {:.3f} of 1.\n",
        comparison.embedding_fit->tokens, comparison.embedding_fit->dimension, comparison.embedding_fit->fit);
  std::string missing;
  for (const Evidence& e : comparison.evidence)
    if (!e.compared())
      missing += fmt::format("not compared: {}: {}\n", evidence_name(e.kind), e.not_compared);
  if (!missing.empty()) text += "\n" + missing;
  if (comparison.alignment) text += "\n" + alignment_text(*comparison.alignment);
  text += angle_table(comparison);
  if (is_extrapolated(comparison)) text += "\n" + extrapolation_note(extrapolated_below(comparison));
  return text;
}

}  // namespace defectoscope
