#include "model/architecture.h"

#include <gmock/gmock.h>

#include <set>

namespace defectoscope {
namespace {

TEST(Architecture, EveryModelTypeBelongsToOneRow) {
  std::set<std::string_view> seen;
  for (const ArchitectureSpec& row : architectures())
    for (const std::string_view type : row.model_types) {
      EXPECT_TRUE(seen.insert(type).second) << type;
      EXPECT_EQ(find_architecture(type), &row);
    }
  EXPECT_EQ(find_architecture("zebra"), nullptr);
  EXPECT_THAT(known_model_types(), ::testing::StartsWith("llama, mistral, qwen2, gpt2"));
}

TEST(Architecture, EveryRowNamesTheTensorsItsFormsNeed) {
  for (const ArchitectureSpec& row : architectures()) {
    const TensorNames& names = row.names;
    SCOPED_TRACE(row.name);
    EXPECT_FALSE(names.prefixes.empty());
    EXPECT_FALSE(names.embedding.empty());
    EXPECT_FALSE(names.attention_output.empty());
    // Some mixtures have experts in every layer, and then no dense FFN.
    const bool dense =
        row.experts.spellings.empty() || row.experts.layers != SparseLayers::kAll || !names.up.empty();
    EXPECT_EQ(dense, !names.up.empty());
    EXPECT_EQ(dense, !names.down.empty());
    for (const ExpertNames& experts : row.experts.spellings) {
      EXPECT_FALSE(experts.router.empty());
      EXPECT_NE(experts.down.empty(), experts.packed_down.empty());
    }
    EXPECT_FALSE(names.final_norm.empty());
    EXPECT_EQ(row.qkv == QkvLayout::kSeparate,
              !names.query.empty() && !names.key.empty() && !names.value.empty());
    EXPECT_EQ(row.qkv != QkvLayout::kSeparate, !names.fused_qkv.empty());
    EXPECT_EQ(dense && row.ffn == FfnForm::kGated, !names.gate.empty());
    EXPECT_EQ(row.position == PositionKind::kLearned, !names.position_embedding.empty());
    EXPECT_EQ(row.placement == NormPlacement::kPre,
              !names.attention_norm.empty() && !names.ffn_norm.empty() && names.attention_post_norm.empty());
    for (const std::string_view pattern :
         {names.attention_output, names.up, names.down, names.attention_norm, names.ffn_norm}) {
      EXPECT_TRUE(pattern.empty() || pattern.find("{}") != pattern.npos) << pattern;
    }
  }
}

}  // namespace
}  // namespace defectoscope
