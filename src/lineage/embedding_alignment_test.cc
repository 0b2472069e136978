#include "lineage/embedding_alignment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <tuple>

#include "base/error.h"
#include "lineage/compare.h"
#include "lineage/test_signatures.h"
#include "spectral/basis.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {
namespace {

using testing::HasSubstr;
using testing_files::TemporaryFolder;

// Phantoms map their planted directions exactly upon each other: the most that aligned directions can say of
// so narrow a model is "suspicious".
const double kLogOnePercent = std::log(0.01);

/// Orthonormal rows, [rows, cols].
DoubleMatrix orthonormal(Index rows, Index cols, std::uint64_t seed) {
  Basis basis(cols);
  basis.append(random_block(rows, cols, seed, 0), 1e-9);
  return DoubleMatrix(basis.rows());
}

DoubleMatrix product(const DoubleMatrix& x, const DoubleMatrix& y) {
  DoubleMatrix out(x.rows(), y.cols());
  add_combination(1.0, x, y, out);
  return out;
}

TEST(Procrustes, FindsTheMapThatTurnedThePoints) {
  for (const auto& [points, width, other] :
       {std::tuple<Index, Index, Index>{80, 24, 24}, {80, 24, 40}, {20, 32, 32}, {20, 24, 40}}) {
    const DoubleMatrix a = random_block(points, width, 1, 0), q = orthonormal(width, other, 2);
    const AlignedSpaces spaces = align_spaces(a, product(a, q), 0);
    const Index rank = std::min(width, points - 1);  // the mean takes one
    ASSERT_EQ(spaces.dimension(), rank);
    EXPECT_NEAR(spaces.fit, 1, 1e-9);
    const DoubleMatrix turned = product(spaces.a, q);
    for (Index i = 0; i < rank; ++i)
      for (Index c = 0; c < other; ++c) EXPECT_NEAR(turned(i, c), spaces.b(i, c), 1e-6);
  }
}

TEST(Procrustes, OfUnrelatedPointsFindsNoAgreement) {
  const AlignedSpaces spaces = align_spaces(random_block(1000, 20, 3, 0), random_block(1000, 20, 4, 0), 8);
  EXPECT_EQ(spaces.dimension(), 15);  // a quarter removed at most
  EXPECT_LT(spaces.fit, 0.2);
}

/// A model of the zoo, or one made from it, opened.
struct Opened {
  std::optional<Model> model;
  EmbeddedVocabulary vocabulary;

  explicit Opened(const std::filesystem::path& path) : model(Model::open(path)) {
    const auto tokenizer = open_tokenizer(path);
    vocabulary = embedded_vocabulary(*model, tokenizer.get());
  }
};

std::filesystem::path zoo(const std::string& name) { return testing_lineage::kZoo + name; }

/// llama-base after attacks, into `folder`.
std::filesystem::path disguised_in(const TemporaryFolder& folder, const std::vector<std::string>& attacks,
                                   const std::function<void(EditableModel&)>& change = {}) {
  EditableModel model(Model::open(zoo("llama-base")));
  for (const std::string& text : attacks) {
    const ChosenAttack chosen = parse_attack(text);
    Random random(7);
    chosen.attack->apply(model, {chosen.strength, random, nullptr});
  }
  if (change) change(model);
  model.write(folder / "out");
  return folder / "out";
}

/// llama-base against another.
Comparison compared_with_base(const std::filesystem::path& other) {
  const Opened a(zoo("llama-base")), b(other);
  const EmbeddingAlignment alignment = align_embeddings(a.vocabulary, b.vocabulary);
  return compare(testing_lineage::signature_of("llama-base"),
                 compute_signature(*b.model, open_tokenizer(other).get(), {}), &alignment);
}

Evidence evidence(const Comparison& comparison, EvidenceKind kind) {
  return comparison.evidence[static_cast<std::size_t>(kind)];
}

TEST(AlignedEvidence, TurnsARotatedModelBack) {
  const TemporaryFolder folder;
  const Comparison c = compared_with_base(disguised_in(folder, {"rotation", "residual-scaling:5"}));
  EXPECT_LT(evidence(c, EvidenceKind::kAligned).distance_degrees, 1);
  EXPECT_LT(evidence(c, EvidenceKind::kAlignedFfns).distance_degrees, 1.5);
  EXPECT_LT(evidence(c, EvidenceKind::kAligned).log_p, kLogOnePercent);
  EXPECT_NEAR(c.embedding_fit->fit, 1, 1e-5);
  EXPECT_EQ(c.embedding_fit->dimension, 64 - 8);
  EXPECT_EQ(c.verdict, Verdict::kRelated);
}

TEST(AlignedEvidence, FindsARotatedModelUnderNoiseAsLargeAsItsWeights) {
  const TemporaryFolder folder;
  const Comparison c = compared_with_base(disguised_in(folder, {"rotation", "noise:1"}));
  EXPECT_LT(evidence(c, EvidenceKind::kAlignedFfns).distance_degrees, 30);
  EXPECT_LT(evidence(c, EvidenceKind::kAlignedFfns).log_p, kLogOnePercent);
}

TEST(AlignedEvidence, SeesNothingBetweenModelsOfDifferentSeeds) {
  for (const char* name : {"llama-seed2", "gpt2-mini", "llama-distilled"}) {
    const Comparison c = compared_with_base(zoo(name));
    for (const EvidenceKind kind : {EvidenceKind::kAligned, EvidenceKind::kAlignedFfns}) {
      EXPECT_TRUE(evidence(c, kind).compared()) << name;
      EXPECT_GT(evidence(c, kind).log_p, kLogOnePercent) << name;
    }
    EXPECT_EQ(c.verdict, Verdict::kNoEvidence) << name;
  }
}

TEST(AlignedEvidence, ComparesModelsOfUnlikeWidths) {
  const Comparison c = compared_with_base(zoo("llama-wide"));
  EXPECT_FALSE(evidence(c, EvidenceKind::kLayers).compared());
  EXPECT_LT(evidence(c, EvidenceKind::kAligned).distance_degrees, 5);
  EXPECT_LT(evidence(c, EvidenceKind::kAlignedFfns).log_p, kLogOnePercent);
}

TEST(EmbeddingAlignment, InTheSpanOfFewTokensARotatedModelIsStillTurnedBack) {
  const TemporaryFolder folder;
  const Opened a(zoo("llama-base")), b(disguised_in(folder, {"rotation"}));
  const EmbeddingAlignment alignment = align_embeddings(a.vocabulary, b.vocabulary, 40);
  EXPECT_EQ(alignment.tokens, 40);
  EXPECT_EQ(alignment.spaces.dimension(), 39 - 8);
  EXPECT_NEAR(alignment.spaces.fit, 1, 1e-5);
}

TEST(EmbeddingAlignment, SaysWhyTwoCannotBeAligned) {
  const Opened a(zoo("llama-base"));
  EmbeddedVocabulary other = a.vocabulary;
  other.name = "other";
  for (std::size_t i = 0; i < other.sample.hashes.size(); ++i) other.sample.hashes[i] = i + 1;
  EXPECT_THAT(align_embeddings(a.vocabulary, other).not_aligned,
              HasSubstr("different vocabularies: 0 shared"));
  other.sample = {};
  EXPECT_THAT(align_embeddings(a.vocabulary, other).not_aligned, HasSubstr("no vocabulary of other"));
  other.model = nullptr;
  const EmbeddingAlignment alignment = align_embeddings(a.vocabulary, other);
  EXPECT_THAT(alignment.not_aligned, HasSubstr("a signature file (other) holds no embedding"));
  const Signature& base = testing_lineage::signature_of("llama-base");
  const Comparison with = compare(base, base, &alignment), without = compare(base, base);
  EXPECT_EQ(with.log_p, without.log_p);  // what was not compared is not corrected for
  EXPECT_FALSE(with.embedding_fit);
}

TEST(EmbeddingAlignment, OfAZeroEmbeddingIsNone) {
  const TemporaryFolder folder;
  const Opened a(zoo("llama-base")), b(disguised_in(folder, {}, [](EditableModel& model) {
    for (Index r = 0; r < model.embedding().rows(); ++r) std::ranges::fill(model.embedding().row(r), 0.0f);
  }));
  EXPECT_THAT(align_embeddings(a.vocabulary, b.vocabulary).not_aligned, HasSubstr("is the same for all"));
}

TEST(EmbeddingAlignment, RefusesAnEmbeddingThatIsNotFinite) {
  const TemporaryFolder folder;
  const Opened a(zoo("llama-base")), b(disguised_in(folder, {}, [](EditableModel& model) {
    for (Index r = 0; r < model.embedding().rows(); ++r)
      model.embedding()(r, 5) = std::numeric_limits<float>::quiet_NaN();
  }));
  try {
    align_embeddings(a.vocabulary, b.vocabulary);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
    EXPECT_THAT(error.what(), HasSubstr("model.embed_tokens.weight"));
  }
}

}  // namespace
}  // namespace defectoscope
