#include "model/architecture.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <set>
#include <sstream>

#include "base/files.h"

namespace defectoscope {
namespace {

TEST(Architecture, EveryModelTypeBelongsToOneUsualForm) {
  std::set<std::string_view> seen;
  for (const ArchitectureSpec& row : architectures()) {
    for (const std::string_view type : row.model_types) {
      if (row.when.empty()) {
        EXPECT_TRUE(seen.insert(type).second) << type;
        EXPECT_EQ(find_architecture(type), &row);
      }
      ASSERT_NE(find_architecture(type), nullptr) << type << " has no usual form";
      EXPECT_EQ(find_architecture(type)->name, row.name) << type;
    }
  }
  EXPECT_EQ(find_architecture("zebra"), nullptr);
  EXPECT_TRUE(known_model_types().starts_with("llama, mistral, qwen2, "));
}

/// Tokenizers and synthesis speak of vocabularies and files that share those names.
TEST(Architecture, NoFileOutsideTheTableNamesAFamily) {
  namespace fs = std::filesystem;
  std::set<std::string> quoted;
  for (const ArchitectureSpec& row : architectures()) {
    quoted.insert('"' + std::string(row.name) + '"');
    for (const std::string_view type : row.model_types) quoted.insert('"' + std::string(type) + '"');
  }
  const fs::path source = fs::path(DEFECTOSCOPE_SOURCE_DIR) / "src";
  int files = 0;
  for (const char* folder : {"checkpoint", "kernels", "model", "forward", "spectral", "linearize", "analysis",
                             "quantize", "report", "cli"}) {
    for (const auto& entry : fs::directory_iterator(source / folder)) {
      const std::string name = entry.path().filename();
      const bool code = name.ends_with(".cc") || name.ends_with(".h");
      if (!code || name.ends_with("_test.cc") || name.starts_with("test_")) continue;
      ++files;
      std::istringstream text(read_file(entry.path()));
      for (std::string line; std::getline(text, line);) {
        if (line.find("///") != line.npos) continue;
        for (const std::string& word : quoted) EXPECT_EQ(line.find(word), line.npos) << name << ": " << line;
      }
    }
  }
  EXPECT_GT(files, 200);
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
    // Where norms stand after the sums, the last layer's is the final one.
    EXPECT_EQ(row.placement == NormPlacement::kPost, names.final_norm.empty());
    EXPECT_EQ(row.qkv == QkvLayout::kSeparate,
              !names.query.empty() && !names.key.empty() && !names.value.empty());
    EXPECT_EQ(row.qkv != QkvLayout::kSeparate, !names.fused_qkv.empty());
    EXPECT_EQ(dense && row.ffn == FfnForm::kGated, !names.gate.empty());
    EXPECT_EQ(row.position == PositionKind::kLearned, !names.position_embedding.empty());
    const bool before = row.placement == NormPlacement::kPre || row.placement == NormPlacement::kSandwich;
    const bool after = row.placement == NormPlacement::kSandwich || row.placement == NormPlacement::kOutput;
    EXPECT_EQ(after, !names.attention_post_norm.empty() && !names.ffn_post_norm.empty());
    EXPECT_EQ(before || row.placement == NormPlacement::kPost, !names.attention_norm.empty());
    // A shared norm has attention's name.
    if (row.residual == ResidualForm::kParallelShared) {
      EXPECT_TRUE(names.ffn_norm.empty());
    } else {
      EXPECT_EQ(names.attention_norm.empty(), names.ffn_norm.empty());
    }
    EXPECT_EQ(row.qk_norm != QkNorm::kNone, !names.query_norm.empty() && !names.key_norm.empty());
    for (const std::string_view pattern :
         {names.attention_output, names.up, names.down, names.attention_norm, names.ffn_norm}) {
      EXPECT_TRUE(pattern.empty() || pattern.find("{}") != pattern.npos) << pattern;
    }
  }
}

}  // namespace
}  // namespace defectoscope
