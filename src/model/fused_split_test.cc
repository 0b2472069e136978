#include "model/fused_split.h"

#include <gmock/gmock.h>

#include <numeric>

namespace defectoscope {
namespace {

using testing::ElementsAre;

/// A fused matrix whose row r holds r, with bias r + 0.5.
LinearWeights numbered_rows(Index rows) {
  Matrix values(rows, 2);
  LinearWeights fused;
  for (Index r = 0; r < rows; ++r) {
    values(r, 0) = values(r, 1) = static_cast<float>(r);
    fused.bias.push_back(static_cast<float>(r) + 0.5f);
  }
  fused.weight = make_weight_matrix(values);
  return fused;
}

std::vector<int> rows_of(const LinearWeights& part) {
  std::vector<int> rows;
  for (Index r = 0; r < part.weight.rows; ++r) {
    EXPECT_EQ(part.weight.at(r, 1) + 0.5, static_cast<double>(part.bias[static_cast<std::size_t>(r)]));
    rows.push_back(static_cast<int>(part.weight.at(r, 0)));
  }
  return rows;
}

/// 4 query heads over 2 key-value heads of dimension 2: 16 fused rows.
AttentionWeights split(QkvLayout layout, Index kv_heads, const LinearWeights& fused) {
  ArchitectureSpec row;
  row.qkv = layout;
  ModelConfig config;
  config.architecture = &row;
  config.heads = 4;
  config.kv_heads = kv_heads;
  config.head_dim = 2;
  config.hidden_size = 2;
  AttentionWeights attention;
  split_qkv(fused, config, attention);
  return attention;
}

TEST(FusedSplit, BlocksAreBorrowedInPlace) {
  const LinearWeights fused = numbered_rows(16);
  const AttentionWeights attention = split(QkvLayout::kFusedBlocks, 2, fused);
  EXPECT_THAT(rows_of(attention.query), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  EXPECT_THAT(rows_of(attention.key), ElementsAre(8, 9, 10, 11));
  EXPECT_THAT(rows_of(attention.value), ElementsAre(12, 13, 14, 15));
  EXPECT_EQ(attention.key.weight.data, fused.weight.row_data(8));
}

TEST(FusedSplit, GroupsGiveEachKeyValueHeadItsQueries) {
  const AttentionWeights attention = split(QkvLayout::kFusedPerGroup, 2, numbered_rows(16));
  EXPECT_THAT(rows_of(attention.query), ElementsAre(0, 1, 2, 3, 8, 9, 10, 11));
  EXPECT_THAT(rows_of(attention.key), ElementsAre(4, 5, 12, 13));
  EXPECT_THAT(rows_of(attention.value), ElementsAre(6, 7, 14, 15));
}

TEST(FusedSplit, HeadsAreGroupsOfOne) {
  const AttentionWeights attention = split(QkvLayout::kFusedPerHead, 4, numbered_rows(24));
  EXPECT_THAT(rows_of(attention.query), ElementsAre(0, 1, 6, 7, 12, 13, 18, 19));
  EXPECT_THAT(rows_of(attention.key), ElementsAre(2, 3, 8, 9, 14, 15, 20, 21));
  EXPECT_THAT(rows_of(attention.value), ElementsAre(4, 5, 10, 11, 16, 17, 22, 23));
}

TEST(FusedSplit, GateIsTheUpperHalfOfAFusedGateAndUp) {
  FfnWeights ffn;
  ffn.up = numbered_rows(6);
  split_gate_up(ffn.up, ffn);
  EXPECT_THAT(rows_of(ffn.gate), ElementsAre(0, 1, 2));
  EXPECT_THAT(rows_of(ffn.up), ElementsAre(3, 4, 5));
}

}  // namespace
}  // namespace defectoscope
