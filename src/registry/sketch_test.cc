#include "registry/sketch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <numbers>

#include "base/error.h"
#include "checkpoint/test_files.h"
#include "lineage/synthetic_signatures.h"

namespace defectoscope {
namespace {

using synthetic::Disguise;
using synthetic::relative;
using synthetic::unrelated;

constexpr synthetic::Shape kShape{.width = 96, .layers = 40, .tokens = 200};

/// The share of bits that differ between same-numbered rows, a row's sign left open: at most one half.
/// [2, planes, 40 layers, words].
double share(const std::vector<std::uint64_t>& a, const std::vector<std::uint64_t>& b, std::size_t planes,
             std::size_t words) {
  double sum = 0;
  for (std::size_t row = 0; row < 80; ++row) {
    int ones = 0;
    for (std::size_t p = 0; p < planes; ++p)
      for (std::size_t w = 0; w < words; ++w) {
        const std::size_t at = ((row / 40 * planes + p) * 40 + row % 40) * words + w;
        ones += std::popcount(a[at] ^ b[at]);
      }
    const double differ = ones / (64.0 * static_cast<double>(planes * words));
    sum += std::min(differ, 1 - differ);
  }
  return sum / 80;
}

TEST(Sketch, BitsDifferInProportionToTheAngle) {
  const Signature base = unrelated(kShape, 1);
  const Sketch a = sketch_of(base);
  ASSERT_EQ(a.directions.size(), 2u * 40 * kDirectionWords);
  ASSERT_EQ(a.tokens.size(), 2u * 40 * kTokenWords);
  for (const double degrees : {10.0, 30.0, 50.0}) {
    const Sketch b = sketch_of(relative(base, degrees, Disguise::kNone, 2));
    // 80 rows: a standard error under 0.005 of 256 bits each, 0.007 of 64.
    EXPECT_NEAR(share(a.directions, b.directions, kDirectionPlanes, 2), degrees / 180, 0.015) << degrees;
    EXPECT_NEAR(share(a.tokens, b.tokens, 1, kTokenWords), degrees / 180, 0.02) << degrees;
  }
}

TEST(Sketch, ForgetsTheSignOfADirection) {
  Signature flipped = unrelated(kShape, 1);
  const Sketch before = sketch_of(flipped);
  for (Matrix* rows : {&flipped.left, &flipped.token_ffn_left})
    for (Index i = 0; i < rows->rows() * rows->cols(); i += 1) rows->data()[i] = -rows->data()[i];
  EXPECT_EQ(sketch_of(flipped).directions, before.directions);
  EXPECT_EQ(sketch_of(flipped).tokens, before.tokens);
}

TEST(Sketch, TokensAreKnownByTheirHashesWhereverTheyStand) {
  const Signature base = unrelated(kShape, 1);
  // Every fourth token is unknown to the other vocabulary.
  Signature fewer = base;
  fewer.token_hashes.clear();
  std::vector<Index> kept;
  for (Index i = 0; i < base.tokens(); ++i)
    if (i % 4 != 0) kept.push_back(i);
  for (const Index i : kept) fewer.token_hashes.push_back(base.token_hashes[static_cast<std::size_t>(i)]);
  for (Matrix Signature::* rows : {&Signature::token_left, &Signature::token_ffn_left}) {
    fewer.*rows = Matrix(base.layers, std::ssize(kept));
    for (Index r = 0; r < base.layers; ++r)
      for (std::size_t i = 0; i < kept.size(); ++i)
        (fewer.*rows)(r, static_cast<Index>(i)) = (base.*rows)(r, kept[i]);
  }
  // Three quarters of the squared length are shared: an angle of 30 degrees.
  EXPECT_NEAR(share(sketch_of(base).tokens, sketch_of(fewer).tokens, 1, kTokenWords), 30.0 / 180, 0.03);
}

TEST(Surprise, OfUnrelatedModelsIsAsRareAsItSays) {
  // Wide ones: in few dimensions random directions themselves are closer than random bits.
  constexpr synthetic::Shape kWide{.width = 1024, .layers = 3, .tokens = 512};
  const Sketch query = sketch_of(unrelated(kWide, 1));
  constexpr int kModels = 400;
  int layers = 0, any = 0, tokens = 0;
  for (std::uint64_t seed = 2; seed < 2 + kModels; ++seed) {
    const Sketch other = sketch_of(unrelated(kWide, seed));
    const DirectionSurprise d = direction_surprise(query.directions, other.directions);
    layers += d.layers > std::log(100) ? 1 : 0;
    any += d.any_layers > std::log(100) ? 1 : 0;
    tokens += token_surprise(query.tokens, other.tokens).layers > std::log(100) ? 1 : 0;
  }
  // The better of two looks at p < 0.01: 8 expected at most.
  EXPECT_LE(layers, 0.04 * kModels);
  EXPECT_LE(any, 0.04 * kModels);
  EXPECT_LE(tokens, 0.04 * kModels);
}

TEST(Surprise, SeesEveryDisguiseByTheKindOfEvidenceThatIsLeft) {
  const Signature base = unrelated(kShape, 1);
  const Sketch query = sketch_of(base);
  const auto directions = [&](Disguise disguise) {
    return direction_surprise(query.directions, sketch_of(relative(base, 20, disguise, 2)).directions);
  };
  const auto tokens = [&](Disguise disguise) {
    return token_surprise(query.tokens, sketch_of(relative(base, 20, disguise, 2)).tokens);
  };
  constexpr double kSure = 25;  // nats
  EXPECT_GT(directions(Disguise::kNone).layers, kSure);
  EXPECT_GT(directions(Disguise::kNone).ffns, kSure);
  EXPECT_GT(directions(Disguise::kOneLayer).layers, kSure);
  EXPECT_LT(directions(Disguise::kShifted).layers, kSure / 2);
  EXPECT_GT(directions(Disguise::kShifted).any_layers, kSure);
  EXPECT_LT(directions(Disguise::kRotated).any_layers, kSure / 2);
  EXPECT_GT(tokens(Disguise::kRotated).layers, kSure);
  EXPECT_GT(tokens(Disguise::kRotated).ffns, kSure);
  EXPECT_GT(tokens(Disguise::kOtherWidth).layers, kSure);
}

TEST(Surprise, LeavesLayersWithoutADirectionOut) {
  Signature a = unrelated({.width = 64, .layers = 3, .tokens = 0}, 1),
            b = unrelated({.width = 64, .layers = 3, .tokens = 0}, 2);
  for (Signature* s : {&a, &b})
    for (Matrix* rows : {&s->left, &s->ffn_left})
      for (Index r = 0; r < 2; ++r) std::ranges::fill(rows->row(r), 0.0f);
  const Sketch sketch = sketch_of(a);
  EXPECT_TRUE(sketch.tokens.empty());
  EXPECT_EQ(sketch.directions[0], 0u);
  const DirectionSurprise surprise = direction_surprise(sketch.directions, sketch_of(b).directions);
  EXPECT_LT(surprise.layers, 10);
  EXPECT_LT(surprise.any_layers, 10);
  EXPECT_EQ(direction_surprise({}, {}).layers, 0);
}

TEST(SketchBytes, AreReadBackAndRefusedWhereCut) {
  const Sketch sketch = sketch_of(unrelated(kShape, 1));
  const std::string bytes = sketch_bytes(sketch.directions);
  std::vector<std::uint64_t> words;
  append_sketch(bytes, kDirectionWords, "r.db", 7, words);
  EXPECT_EQ(words, sketch.directions);
  EXPECT_THAT(testing_files::bad_input_message(
                  [&] { append_sketch(bytes.substr(1), kDirectionWords, "r.db", 7, words); }),
              testing::AllOf(testing::HasSubstr("r.db"), testing::HasSubstr("model 7")));
}

}  // namespace
}  // namespace defectoscope
