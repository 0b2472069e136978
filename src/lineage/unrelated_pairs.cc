#include "lineage/unrelated_pairs.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "lineage/signature_file.h"

namespace defectoscope {

std::vector<Signature> read_signatures(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error))
    if (entry.path().string().ends_with(".sig.safetensors")) files.push_back(entry.path());
  if (files.empty())
    throw_bad_input({.what = "no signatures",
                     .file = folder.string(),
                     .expected = "files *.sig.safetensors",
                     .got = error ? error.message() : "none"});
  std::ranges::sort(files);
  std::vector<Signature> signatures;
  for (const auto& file : files) signatures.push_back(read_signature(file));
  return signatures;
}

std::vector<UnrelatedPair> unrelated_pairs(std::span<const Signature> signatures,
                                           std::span<const EmbeddedVocabulary> vocabularies,
                                           Index most_tokens) {
  std::vector<UnrelatedPair> pairs;
  for (Index a = 0; a < std::ssize(signatures); ++a)
    for (Index b = a + 1; b < std::ssize(signatures); ++b) pairs.push_back({a, b, {}});
  parallel_for(std::ssize(pairs), [&](Index i) {
    UnrelatedPair& pair = pairs[static_cast<std::size_t>(i)];
    const auto a = static_cast<std::size_t>(pair.a), b = static_cast<std::size_t>(pair.b);
    std::optional<EmbeddingAlignment> alignment;
    if (!vocabularies.empty()) alignment = align_embeddings(vocabularies[a], vocabularies[b], most_tokens);
    pair.comparison = compare(signatures[a], signatures[b], {}, alignment ? &*alignment : nullptr);
  });
  return pairs;
}

std::vector<EmpiricalNull> null_of(std::span<const UnrelatedPair> pairs, Index without_a, Index without_b,
                                   Index goodness_draws) {
  std::vector<EmpiricalNull> null;
  for (int k = 0; k < kEvidenceKinds; ++k) {
    std::vector<double> scores;
    for (const UnrelatedPair& pair : pairs) {
      if (pair.a == without_a || pair.a == without_b || pair.b == without_a || pair.b == without_b) continue;
      const Evidence& evidence = pair.comparison.evidence[static_cast<std::size_t>(k)];
      if (evidence.compared()) scores.push_back(evidence.score);
    }
    null.push_back(make_empirical_null(static_cast<EvidenceKind>(k), scores, goodness_draws));
  }
  return null;
}

std::vector<double> left_out_log_p(std::span<const UnrelatedPair> pairs) {
  constexpr double kMissing = 1;
  std::vector<double> log_p(pairs.size(), kMissing);
  parallel_for(std::ssize(pairs), [&](Index i) {
    const UnrelatedPair& pair = pairs[static_cast<std::size_t>(i)];
    Comparison comparison = pair.comparison;
    conclude(comparison, null_of(pairs, pair.a, pair.b, 0));
    if (comparison.log_p) log_p[static_cast<std::size_t>(i)] = *comparison.log_p;
  });
  std::erase(log_p, kMissing);
  return log_p;
}

double share_below(std::span<const double> log_p, double p) {
  if (log_p.empty()) return 0;
  const auto below = std::ranges::count_if(log_p, [&](double x) { return x < std::log(p); });
  return static_cast<double>(below) / static_cast<double>(log_p.size());
}

}  // namespace defectoscope
