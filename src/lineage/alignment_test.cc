#include "lineage/alignment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "lineage/attacks.h"
#include "lineage/compare.h"
#include "lineage/relations.h"
#include "lineage/test_signatures.h"

namespace defectoscope {
namespace {

using testing::ElementsAre;
using testing_lineage::disguised;
using testing_lineage::signature_of;

/// Counterparts numbered from 1, 0 for none; moved ones negative, duplicates plus 100.
std::vector<Index> fates(const LayerAlignment& alignment) {
  std::vector<Index> out;
  for (const AlignedLayer& layer : alignment.layers) {
    Index number = layer.counterpart ? *layer.counterpart + 1 : 0;
    if (layer.fate == LayerFate::kMoved) number = -number;
    if (layer.fate == LayerFate::kDuplicated) number += 100;
    out.push_back(number);
  }
  return out;
}

LayerAlignment against_base(const Signature& other) {
  return align_layers(signature_of("llama-base"), other,
                      DirectionSets(signature_of("llama-base"), other, nullptr));
}

TEST(Alignment, OfAFineTunedModelEveryLayerIsInPlace) {
  for (const char* name : {"llama-base", "llama-base-ft-full", "llama-base-ft-lora", "llama-base-ckpt-2400"})
    EXPECT_TRUE(against_base(signature_of(name)).all_in_place()) << name;
}

TEST(Alignment, DroppedInsertedAndDuplicatedLayersAreNamed) {
  const LayerAlignment dropped = against_base(disguised("llama-base-ft-lora", {"drop-layers:2"}));
  EXPECT_THAT(fates(dropped), ElementsAre(1, 2, 5, 6));
  EXPECT_THAT(dropped.missing, ElementsAre(2, 3));
  EXPECT_FALSE(dropped.prefix);
  const LayerAlignment inserted = against_base(disguised("llama-base", {"layer-insertion:1"}));
  EXPECT_THAT(fates(inserted), ElementsAre(1, 2, 3, 0, 4, 5, 6));
  const LayerAlignment doubled = against_base(disguised("llama-base-ft-lora", {"duplicate-layers:1"}));
  ASSERT_EQ(doubled.layers.size(), 7u);
  EXPECT_TRUE(doubled.missing.empty());
  EXPECT_EQ(std::ranges::count(doubled.layers, LayerFate::kDuplicated, &AlignedLayer::fate), 1);
  EXPECT_THAT(fates(doubled),
              testing::AnyOf(ElementsAre(1, 2, 3, 103, 4, 5, 6), ElementsAre(1, 2, 103, 3, 4, 5, 6)));
}

TEST(Alignment, AnExchangedPairOfLayersIsMoved) {
  const LayerAlignment moved = against_base(
      disguised("llama-base", {}, [](EditableModel& model) { model.choose_layers({0, 1, 4, 3, 2, 5}); }));
  ASSERT_EQ(moved.layers.size(), 6u);
  EXPECT_TRUE(moved.missing.empty());
  EXPECT_FALSE(moved.all_in_place());
  EXPECT_EQ(std::ranges::count(moved.layers, LayerFate::kMoved, &AlignedLayer::fate), 2);
  for (const std::size_t k : {0u, 1u, 5u}) EXPECT_EQ(moved.layers[k].fate, LayerFate::kInPlace);
  EXPECT_EQ(moved.layers[2].counterpart, 4);
  EXPECT_EQ(moved.layers[4].counterpart, 2);
}

TEST(Alignment, FirstLayersAloneAreAPartialDerivation) {
  const auto first = [](std::vector<Index> kept) {
    return disguised("llama-base-ft-full", {}, [&](EditableModel& model) { model.choose_layers(kept); });
  };
  const LayerAlignment three = against_base(first({0, 1, 2}));
  EXPECT_THAT(fates(three), ElementsAre(1, 2, 3));
  EXPECT_EQ(three.prefix, 3);
  EXPECT_FALSE(against_base(first({1, 2, 3})).prefix);
}

TEST(Alignment, HoldsUnderRotationThroughTheVocabularyAlone) {
  const LayerAlignment turned = against_base(disguised("llama-base", {"rotation", "drop-layers:1"}));
  EXPECT_THAT(fates(turned), ElementsAre(1, 2, 4, 5, 6));
  EXPECT_THAT(turned.missing, ElementsAre(2));
}

TEST(Alignment, UnrelatedModelsHaveNoLayersInCommon) {
  for (const char* name : {"llama-seed2", "gpt2-mini", "neox-mini"})
    EXPECT_EQ(against_base(signature_of(name)).missing.size(), 6u) << name;
}

TEST(Blend, WeightsOfAMergeAreFound) {
  const Signature &full = signature_of("llama-base-ft-full"), &lora = signature_of("llama-base-ft-lora");
  EditableModel other(Model::open(testing_lineage::kZoo + "llama-base-ft-lora"));
  for (const double weight : {0.3, 0.6}) {
    const Signature merged =
        disguised("llama-base-ft-full", {"interpolate:" + std::to_string(weight)}, {}, &other);
    const std::optional<BlendFit> fit = fit_blend(merged, full, lora);
    ASSERT_TRUE(fit);
    EXPECT_NEAR(fit->weight, weight, 0.1);
    EXPECT_TRUE(looks_merged(*fit)) << fit->off_the_line;
  }
  // Neither the common base of the two nor a model of another origin lies between them.
  EXPECT_FALSE(looks_merged(*fit_blend(signature_of("llama-base"), full, lora)));
  EXPECT_FALSE(looks_merged(*fit_blend(signature_of("llama-seed2"), full, lora)));
}

TEST(Blend, LineageNamesTheParentsOfAMerge) {
  EditableModel other(Model::open(testing_lineage::kZoo + "llama-base-ft-lora"));
  Signature merged = disguised("llama-base-ft-full", {"interpolate:0.4"}, {}, &other);
  merged.model = "merged";
  const Relations r = relations({signature_of("llama-base-ft-full"), merged,
                                 signature_of("llama-base-ft-lora"), signature_of("llama-seed2")});
  ASSERT_TRUE(r.blends[1]);
  EXPECT_EQ(r.blends[1]->a, 0);
  EXPECT_EQ(r.blends[1]->b, 2);
  EXPECT_NEAR(r.blends[1]->fit.weight, 0.4, 0.1);
  for (const std::size_t i : {0u, 2u, 3u}) EXPECT_FALSE(r.blends[i]) << i;
}

}  // namespace
}  // namespace defectoscope
