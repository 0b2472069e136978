#include "lineage/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "lineage/test_signatures.h"

namespace defectoscope {
namespace {

using testing::HasSubstr;
using testing_lineage::signature_of;

Comparison compared(const std::string& a, const std::string& b) {
  return compare(signature_of(a), signature_of(b));
}

Evidence evidence(const Comparison& comparison, EvidenceKind kind) {
  return comparison.evidence[static_cast<std::size_t>(kind)];
}

const double kTenToMinus4 = std::log(1e-4), kOneHundredth = std::log(0.01);

TEST(CompareZoo, FineTunedModelsAndLateSnapshotsAreRelatedToTheirBase) {
  for (const char* name : {"llama-base-ft-full", "llama-base-ft-lora", "llama-base-ckpt-2400"}) {
    const Comparison c = compared("llama-base", name);
    EXPECT_LT(*c.distance_degrees, 10) << name;
    EXPECT_LT(*c.log_p, kTenToMinus4) << name;
    EXPECT_EQ(c.verdict, Verdict::kRelated) << name;
    for (const Evidence& e : c.evidence)
      if (e.compared() && e.kind != EvidenceKind::kGram && e.kind != EvidenceKind::kSpectrum) {
        EXPECT_LT(e.log_p, kTenToMinus4) << name << " " << evidence_name(e.kind);
      }
  }
}

TEST(CompareZoo, SnapshotsOrderThemselvesAlongTheTraining) {
  double last = 90;
  for (const char* steps : {"100", "400", "800", "1600", "2400"}) {
    const double distance = *compared("llama-base", std::string("llama-base-ckpt-") + steps).distance_degrees;
    EXPECT_LT(distance, last) << steps;
    last = distance;
  }
}

TEST(CompareZoo, IndependentlyTrainedModelsAreNotRelated) {
  for (const char* name : {"llama-seed2", "llama-window", "gpt2-mini", "neox-mini", "bidirectional-prenorm",
                           "llama-distilled"}) {
    const Comparison c = compared("llama-base", name);
    EXPECT_EQ(c.verdict, Verdict::kNoEvidence) << name;
    EXPECT_GT(*c.log_p, kOneHundredth) << name;
  }
}

TEST(CompareZoo, AGrownModelIsLinkedToItsOriginThroughTheVocabulary) {
  const Comparison c = compared("llama-base", "llama-wide");
  EXPECT_FALSE(c.distance_degrees);
  EXPECT_THAT(evidence(c, EvidenceKind::kLayers).not_compared, HasSubstr("64 and 96"));
  EXPECT_EQ(c.verdict, Verdict::kRelated);
  EXPECT_LT(evidence(c, EvidenceKind::kTokens).distance_degrees, 15);
  EXPECT_LT(evidence(c, EvidenceKind::kFfnTokens).log_p, kTenToMinus4);
}

TEST(CompareZoo, AllUnrelatedPairsStayAboveOnePercent) {
  const std::vector<std::string> unrelated{"llama-base",     "llama-seed2", "llama-window",
                                           "gpt2-mini",      "neox-mini",   "bidirectional-prenorm",
                                           "llama-distilled"};
  for (std::size_t i = 0; i < unrelated.size(); ++i)
    for (std::size_t k = 0; k < i; ++k)
      EXPECT_GT(*compared(unrelated[i], unrelated[k]).log_p, kOneHundredth)
          << unrelated[i] << " " << unrelated[k];
}

TEST(Compare, IsSymmetric) {
  const Comparison there = compared("llama-base", "llama-base-ckpt-400"),
                   back = compared("llama-base-ckpt-400", "llama-base");
  EXPECT_NEAR(*there.log_p, *back.log_p, 1e-9 * std::abs(*back.log_p));
  EXPECT_EQ(*there.distance_degrees, *back.distance_degrees);
}

TEST(Compare, APreparedSignatureGivesTheSame) {
  const Signature a = signature_of("llama-base"), b = signature_of("llama-base-ft-full"),
                  wide = signature_of("llama-wide");
  const PreparedSignature prepared(a);
  for (const Signature* other : {&b, &wide}) {
    const Comparison x = compare(a, *other), y = compare(prepared, *other);
    EXPECT_EQ(x.log_p, y.log_p);
    for (std::size_t i = 0; i < x.evidence.size(); ++i) {
      EXPECT_EQ(x.evidence[i].not_compared, y.evidence[i].not_compared);
      EXPECT_EQ(x.evidence[i].log_p, y.evidence[i].log_p);
    }
  }
}

TEST(Compare, TheSameWeightsAreCalledThat) {
  const Comparison c = compared("llama-base", "llama-base");
  EXPECT_EQ(c.verdict, Verdict::kSameWeights);
  EXPECT_NEAR(*c.distance_degrees, 0, 1e-3);
}

TEST(Compare, PermutedHiddenDimensionsLeaveTheVocabularyToTell) {
  Signature permuted = signature_of("llama-base-ft-full");
  for (Matrix* rows : {&permuted.left, &permuted.ffn_left})
    for (Index r = 0; r < rows->rows(); ++r)
      std::rotate(rows->row(r).begin(), rows->row(r).begin() + 11, rows->row(r).end());
  const Comparison c = compare(signature_of("llama-base"), permuted);
  EXPECT_GT(evidence(c, EvidenceKind::kLayers).log_p, kOneHundredth);
  EXPECT_EQ(c.verdict, Verdict::kRelated);
  EXPECT_THAT(c.carried_by, testing::AnyOf(EvidenceKind::kTokens, EvidenceKind::kFfnTokens));
}

/// The layers `kept` alone, in that order.
Signature with_layers(Signature s, const std::vector<Index>& kept) {
  const auto chosen = [&](const Matrix& rows) {
    Matrix out(std::ssize(kept), rows.cols());
    for (std::size_t i = 0; i < kept.size(); ++i)
      std::ranges::copy(rows.row(kept[i]), out.row(static_cast<Index>(i)).begin());
    return out;
  };
  for (Matrix* rows : {&s.left, &s.ffn_left, &s.singular_values, &s.ffn_singular_values, &s.decay_eigenvalues,
                       &s.token_left, &s.token_ffn_left})
    *rows = chosen(*rows);
  s.layers = std::ssize(kept);
  return s;
}

TEST(Compare, DroppedLayersAreFoundByComparingAnyWithAny) {
  const Comparison c =
      compare(signature_of("llama-base"), with_layers(signature_of("llama-base-ft-full"), {1, 2, 3, 4}));
  const Evidence any = evidence(c, EvidenceKind::kAnyLayers);
  EXPECT_LT(any.log_p, kTenToMinus4);
  EXPECT_EQ(any.comparisons, 24);
  EXPECT_EQ(any.layer_a, 1);
  EXPECT_EQ(any.layer_b, 0);
  EXPECT_EQ(c.verdict, Verdict::kRelated);
}

TEST(Compare, ARotatedModelKeepsItsAnglesAndItsSpectrum) {
  const Comparison c = compare(signature_of("llama-base"),
                               testing_lineage::disguised("llama-base", {"rotation", "residual-scaling:5"}));
  EXPECT_GT(evidence(c, EvidenceKind::kLayers).log_p, kOneHundredth);
  for (const EvidenceKind kind : {EvidenceKind::kGram, EvidenceKind::kSpectrum}) {
    EXPECT_LT(evidence(c, kind).log_p, kOneHundredth) << evidence_name(kind);
    EXPECT_LT(evidence(c, kind).distance_degrees, 2) << evidence_name(kind);
  }
}

TEST(Compare, TheMoreCautiousOfLawsAndUnrelatedModelsCounts) {
  for (const char* name : {"llama-base-ft-full", "llama-seed2"})
    for (const Evidence& e : compared("llama-base", name).evidence) {
      if (!e.compared()) continue;
      ASSERT_TRUE(e.log_p_empirical);
      EXPECT_EQ(e.log_p, std::max(e.log_p_laws, *e.log_p_empirical));
      EXPECT_GE(e.log_p_laws, std::max(e.log_p_beta, e.log_p_permutation));
      EXPECT_GT(e.extrapolated_below, 1e-4);
    }
}

TEST(Compare, ModelsOfOneLayerCompareByIt) {
  const Comparison c = compare(with_layers(signature_of("llama-base"), {5}),
                               with_layers(signature_of("llama-base-ft-full"), {5}));
  EXPECT_EQ(c.verdict, Verdict::kRelated);
  EXPECT_EQ(evidence(c, EvidenceKind::kLayers).comparisons, 1);
}

TEST(Compare, ExplosionLikeLayersAreThoseThatAmplifyOneDirectionInBoth) {
  const Evidence e = evidence(compared("llama-base", "llama-base-ft-lora"), EvidenceKind::kExplosionLayers);
  ASSERT_EQ(e.angles_degrees.size(), 6u);
  for (const std::size_t i : {0u, 2u, 3u, 4u}) EXPECT_TRUE(std::isnan(e.angles_degrees[i]));
  for (const std::size_t i : {1u, 5u}) EXPECT_LT(e.angles_degrees[i], 10);
}

TEST(Compare, SignaturesWithoutEigenvaluesCompareBySingularValuesAlone) {
  Signature old = signature_of("llama-base-ft-lora");
  old.decay_eigenvalues = Matrix();  // as files of version 1 are read
  const Evidence e = evidence(compare(signature_of("llama-base"), old), EvidenceKind::kSpectrum);
  EXPECT_TRUE(e.compared());
  EXPECT_EQ(e.dimension, 4 * 6 - 1);
}

TEST(Compare, InvariantsNeedEqualDepthAndThreeLayers) {
  const Signature& base = signature_of("llama-base");
  EXPECT_THAT(evidence(compare(base, with_layers(base, {0, 1, 2, 3})), EvidenceKind::kGram).not_compared,
              HasSubstr("different numbers of layers (6 and 4)"));
  const Signature two = with_layers(base, {0, 5});
  EXPECT_THAT(evidence(compare(two, two), EvidenceKind::kSpectrum).not_compared,
              HasSubstr("2 layers, 3 needed"));
}

TEST(Compare, DifferentVocabulariesAreNotComparedAndSaidSo) {
  Signature other = signature_of("llama-wide");
  for (std::size_t i = 0; i < other.token_hashes.size(); ++i) other.token_hashes[i] = i + 1;
  const Comparison c = compare(signature_of("llama-base"), other);
  EXPECT_EQ(c.verdict, Verdict::kNotComparable);
  EXPECT_FALSE(c.log_p);
  EXPECT_THAT(evidence(c, EvidenceKind::kTokens).not_compared, HasSubstr("different vocabularies: 0 shared"));
}

TEST(Compare, LayersWithoutADirectionAreLeftOut) {
  Signature silent = signature_of("llama-base-ft-full");
  std::ranges::fill(silent.left.row(5), 0.0f);
  const Evidence e = compare(signature_of("llama-base"), silent).evidence[0];
  EXPECT_EQ(e.comparisons, 5);
  EXPECT_TRUE(std::isnan(e.angles_degrees[5]));
}

TEST(Compare, AmongManyModelsTheSameEvidenceIsWorthLess) {
  const Comparison alone = compared("llama-base", "llama-base-ckpt-400");  // p = 5e-7
  EXPECT_EQ(among(alone, 1).verdict, Verdict::kRelated);
  EXPECT_NEAR(*among(alone, 1000).log_p, *alone.log_p + std::log(1000), 1e-9);
  EXPECT_EQ(among(alone, 1000).verdict, Verdict::kSuspicious);
  EXPECT_EQ(*among(alone, 100'000'000).log_p, 0);
  EXPECT_EQ(among(alone, 100'000'000).verdict, Verdict::kNoEvidence);
}

TEST(Compare, RefusesToMixForms) {
  Signature paper = signature_of("llama-base");
  paper.form = SignatureForm::kPaper;
  try {
    compare(signature_of("llama-base"), paper);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), HasSubstr("--paper-parity"));
  }
}

}  // namespace
}  // namespace defectoscope
