#include "quantize/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "quantize/recipe_matching.h"

namespace defectoscope {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const ArchitectureSpec& family(std::string_view name) { return *find_architecture(name); }
const ArchitectureSpec& llama() { return family("llama"); }

/// Experts as the family has them: 12, so that expert 1 is not 10 or 11; DeepSeek's first layer is dense.
ModuleShape shape_of(const ArchitectureSpec& row, Index layers) {
  ModuleShape shape{.row = row, .layers = layers};
  if (row.experts.spellings.empty()) return shape;
  shape.experts.experts = 12;
  shape.experts.shared_ffn_size = 8;
  shape.experts.layer_is_sparse.assign(static_cast<std::size_t>(layers), true);
  if (row.experts.layers == SparseLayers::kAfterFirst) shape.experts.layer_is_sparse[0] = false;
  shape.query_latent = row.latent_attention;
  return shape;
}

RecipeTarget target_of(const ArchitectureSpec& row, Index layers, const std::vector<Index>& skip) {
  return recipe_target(row.name, shape_of(row, layers), skip);
}

/// The text with every `from` replaced; there must be one.
std::string replaced(std::string text, const std::string& from, const std::string& to) {
  EXPECT_THAT(text, HasSubstr(from));
  for (std::size_t at = text.find(from); at != text.npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

/// How `tool` spells a layer's second FFN matrix of a llama-shaped model:
/// "model\\.layers\\.1\\.mlp\\.down_proj".
std::string spelled(const RecipeTool& tool, Index layer_index) {
  const RecipeTarget target = target_of(llama(), 32, {layer_index + 1});
  const ListedModule& module = target.skipped.front();
  const std::string name = tool.name == "llama.cpp" ? module.gguf : module.name;
  if (tool.write(target).find(name) != std::string::npos) return name;
  const bool in_json = tool.name != "llama.cpp";  // where a backslash is written twice
  return replaced(name, ".", in_json ? R"(\\.)" : R"(\.)");
}

TEST(Recipe, EveryToolsRecipePassesItsCheckerForEveryShapeAndDepth) {
  for (const char* shape : {"llama", "phi3", "gpt2", "gpt_neox", "falcon"})
    for (const Index layers : {Index{32}, Index{80}})
      for (const RecipeTool& tool : recipe_tools()) {
        SCOPED_TRACE(std::string(tool.name) + " " + shape + " " + std::to_string(layers));
        for (const std::vector<Index>& skip : {std::vector<Index>{2, layers - 1}, std::vector<Index>{1}}) {
          const RecipeTarget target = target_of(family(shape), layers, skip);
          EXPECT_EQ(target.skipped.size(), skip.size());
          EXPECT_THAT(check_recipe(tool, tool.write(target), target), IsEmpty());
        }
      }
}

TEST(Recipe, EveryFamilyOfTheTableHasEveryRecipe) {
  std::size_t families = 0;
  for (const ArchitectureSpec& row : architectures()) {
    if (row.names.down.empty() && row.experts.spellings.empty()) continue;
    const RecipeTarget target = target_of(row, 12, {2});
    for (const RecipeTool& tool : recipe_tools())
      EXPECT_THAT(check_recipe(tool, tool.write(target), target), IsEmpty()) << tool.name << " " << row.name;
    ++families;
  }
  EXPECT_GE(families, 36u);
}

TEST(Recipe, ARecipeForOtherLayersFailsTheChecker) {
  for (const RecipeTool& tool : recipe_tools()) {
    SCOPED_TRACE(tool.name);
    const RecipeTarget target = target_of(llama(), 32, {2, 31});
    // Counted from 1 where the tool counts from 0.
    const std::string text = replaced(tool.write(target), spelled(tool, 1), spelled(tool, 2));
    const std::vector<RecipeMismatch> found = check_recipe(tool, text, target);
    ASSERT_FALSE(found.empty());
    EXPECT_THAT(found[0].missed, ElementsAre("model.layers.1.mlp.down_proj"));
    EXPECT_THAT(found[0].unintended, ElementsAre("model.layers.2.mlp.down_proj"));
  }
}

TEST(Recipe, WhatFailsItsCheckerIsNotMade) {
  RecipeTool tool = recipe_tool("bitsandbytes");
  tool.write = [](const RecipeTarget&) {
    return std::string(R"({"llm_int8_skip_modules": ["lm_head", "down_proj"]})");
  };
  try {
    make_recipe(tool, target_of(llama(), 32, {2}));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
    EXPECT_THAT(error.what(), HasSubstr("model.layers.0.mlp.down_proj, model.layers.2.mlp.down_proj"));
    EXPECT_THAT(error.what(), HasSubstr("and 28 more"));
  }
}

TEST(Recipe, ARecipeThatNamesNoLayerFailsTheChecker) {
  for (const RecipeTool& tool : recipe_tools()) {
    SCOPED_TRACE(tool.name);
    const std::vector<RecipeMismatch> found =
        check_recipe(tool, tool.write(target_of(llama(), 32, {})), target_of(llama(), 32, {31}));
    ASSERT_FALSE(found.empty());
    EXPECT_THAT(found[0].missed, ElementsAre("model.layers.30.mlp.down_proj"));
    EXPECT_THAT(found[0].unintended, IsEmpty());
  }
}

TEST(Recipe, ARecipeWithoutTheHeadFailsWhereTheToolsOwnSkippingIsLost) {
  for (const RecipeTool& tool : recipe_tools()) {
    if (!tool.names_head) continue;
    SCOPED_TRACE(tool.name);
    const RecipeTarget target = target_of(llama(), 32, {2});
    const std::string text = replaced(tool.write(target), "\"lm_head", "\"another_head");
    const std::vector<RecipeMismatch> found = check_recipe(tool, text, target);
    ASSERT_FALSE(found.empty());
    EXPECT_THAT(found[0].missed, ElementsAre("lm_head"));
  }
}

/// A recipe of layer 2 with its pattern replaced by one that also takes layers 11 to 20 (10 to 19 of the
/// tool).
TEST(Recipe, LayerOneThatCatchesTenToNineteenTooFailsTheChecker) {
  const RecipeTarget target = target_of(llama(), 32, {2});
  const struct {
    const char* tool;
    const char* too_wide;
  } kTraps[] = {{"llm-compressor", "re:model.layers.1.*down_proj"},
                {"compressed-tensors", "re:model.layers.1.*down_proj"},
                {"bitsandbytes", "model.layers.1.*down_proj"},
                {"gptqmodel", "model.layers.1.*down_proj"},
                {"autoawq", "model.layers.1"},
                {"torchao", "re:model.layers.1.*down_proj"},
                {"llama.cpp", "blk.1.*ffn_down.weight"},
                {"modelopt", "model.layers.1*down_proj"},
                {"tensorrt-llm", "model.layers.1*down_proj"},
                {"neural-compressor", "model.layers.1.*down_proj"},
                {"nncf", "model.layers.1.*down_proj"}};
  ASSERT_EQ(std::size(kTraps), recipe_tools().size());
  for (const auto& trap : kTraps) {
    SCOPED_TRACE(trap.tool);
    const RecipeTool& tool = recipe_tool(trap.tool);
    const std::vector<RecipeMismatch> found =
        check_recipe(tool, replaced(tool.write(target), spelled(tool, 1), trap.too_wide), target);
    ASSERT_FALSE(found.empty());
    std::vector<std::string> unintended;
    for (const RecipeMismatch& mismatch : found)
      unintended.insert(unintended.end(), mismatch.unintended.begin(), mismatch.unintended.end());
    EXPECT_THAT(unintended, Contains("model.layers.19.mlp.down_proj"));
    EXPECT_THAT(unintended, Not(Contains("model.layers.20.mlp.down_proj")));
  }
}

TEST(Recipe, AnEndingThatEveryLayerSharesFailsTheCheckerOfBitsandbytesAndAwq) {
  const RecipeTarget target = target_of(llama(), 32, {2});
  for (const char* name : {"bitsandbytes", "autoawq"}) {
    const RecipeTool& tool = recipe_tool(name);
    const std::string text = replaced(tool.write(target), spelled(tool, 1), "mlp.down_proj");
    const std::vector<RecipeMismatch> found = check_recipe(tool, text, target);
    ASSERT_FALSE(found.empty()) << name;
    EXPECT_EQ(found.back().unintended.size(), 31u) << name;
  }
}

TEST(Recipe, AFusedModuleOfVllmIsNeverLeftAloneByAccident) {
  const RecipeTool& tool = recipe_tool("compressed-tensors");
  const RecipeTarget target = target_of(llama(), 32, {2});
  const std::string text =
      replaced(tool.write(target), "\"lm_head\"", "\"lm_head\", \"model.layers.1.self_attn.qkv_proj\"");
  const std::vector<RecipeMismatch> found = check_recipe(tool, text, target);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_THAT(found[0].unintended, ElementsAre("model.layers.1.self_attn.qkv_proj"));
}

TEST(Recipe, HalfAModuleLeftAloneFailsTheCheckerOfModelOpt) {
  const RecipeTool& tool = recipe_tool("modelopt");
  const RecipeTarget target = target_of(llama(), 32, {2});
  const std::string text = replaced(tool.write(target), "down_proj.*", "down_proj.weight_quantizer");
  const std::vector<RecipeMismatch> found = check_recipe(tool, text, target);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_THAT(found[0].by, HasSubstr("input_quantizer"));
}

TEST(Recipe, TextThatIsNotTheToolsFileIsRefused) {
  for (const RecipeTool& tool : recipe_tools()) {
    EXPECT_THROW(tool.read("not what\nit should be: [\n"), Error) << tool.name;
    if (tool.name != "llama.cpp") {
      EXPECT_THROW(tool.read(""), Error) << tool.name;
    }
  }
  EXPECT_THROW(
      recipe_tool("gptqmodel").read("{\"dynamic\": {\"-:(\": {}}}")[0].leaves_alone({"a", "", "", false}),
      Error);
  EXPECT_THROW(recipe_tool("llama.cpp").read("blk.(=f16"), Error);
}

TEST(Recipe, NamesAreThoseAtRunTime) {
  const RecipeTarget gpt2 = target_of(family("gpt2"), 12, {3});
  EXPECT_EQ(gpt2.skipped[0].name, "transformer.h.2.mlp.c_proj");
  EXPECT_EQ(gpt2.skipped[0].gguf, "blk.2.ffn_down.weight");
  EXPECT_EQ(gpt2.skipped[0].class_name, "Conv1D");
  // The checkpoint's embed_out is lm_head to transformers 5.
  std::vector<std::string> heads;
  for (const ListedModule& module : target_of(family("gpt_neox"), 4, {1}).kept) heads.push_back(module.name);
  EXPECT_THAT(heads, ElementsAre("embed_out", "lm_head"));
  EXPECT_EQ(listed_modules(shape_of(family("phi3"), 32)).size(), 32u * 6 + 3);
  EXPECT_EQ(listed_modules(shape_of(llama(), 32)).size(), 32u * 11 + 3);
}

std::vector<std::string> names_of(const std::vector<ListedModule>& modules) {
  std::vector<std::string> names;
  for (const ListedModule& module : modules) names.push_back(module.name);
  return names;
}

TEST(Recipe, OfAMixtureF2OfEveryExpertAndOfTheSharedOneIsSkippedUnderAllItsNames) {
  const std::vector<std::string> mixtral = names_of(target_of(family("mixtral"), 4, {2}).skipped);
  EXPECT_EQ(mixtral.size(), 12u + 1 + 12);  // as published, packed, packed and taken apart again
  for (const char* name :
       {"model.layers.1.block_sparse_moe.experts.0.w2", "model.layers.1.block_sparse_moe.experts.11.w2",
        "model.layers.1.mlp.experts.down_proj", "model.layers.1.mlp.experts.11.down_proj"})
    EXPECT_THAT(mixtral, Contains(name));
  EXPECT_THAT(names_of(target_of(family("qwen2_moe"), 4, {2}).skipped),
              Contains("model.layers.1.mlp.shared_expert.down_proj"));
  const RecipeTarget deepseek = target_of(family("deepseek_v3"), 4, {1, 3});
  EXPECT_THAT(names_of(deepseek.skipped), Contains("model.layers.0.mlp.down_proj"));  // dense
  EXPECT_THAT(names_of(deepseek.skipped), Contains("model.layers.2.mlp.shared_experts.down_proj"));
  EXPECT_THAT(names_of(deepseek.modules), Contains("model.layers.2.self_attn.kv_a_proj_with_mqa"));
  EXPECT_EQ(names_of(target_of(family("gpt_oss"), 4, {2}).skipped).size(), 1u + 12);
  // Routers stay whole where a recipe's list replaces the tool's own.
  EXPECT_THAT(names_of(deepseek.kept), ElementsAre("model.layers.1.mlp.gate", "model.layers.2.mlp.gate",
                                                   "model.layers.3.mlp.gate", "lm_head"));
}

TEST(Recipe, OneExpertOrOneTooManyFailsTheChecker) {
  const RecipeTarget target = target_of(family("qwen3_moe"), 12, {2});
  const struct {
    const char *tool, *from, *to;
  } kTraps[] = {{"gptqmodel", R"(experts\\.\\d+)", R"(experts\\.1)"},
                {"compressed-tensors", R"(layers\\.1\\.mlp\\.experts)", R"(layers\\.1.*experts)"},
                {"modelopt", "layers.1.mlp.experts.*.down", "layers.1.mlp.experts.?.down"},
                {"tensorrt-llm", "layers.1.mlp.experts.*.down", "layers.1*experts.*.down"},
                {"llama.cpp", R"(ffn_down_exps\.)", R"(ffn_.*_exps\.)"},
                {"bitsandbytes", R"(experts\\.\\d+\\.down_proj)", R"(experts\\.\\d+)"}};
  for (const auto& trap : kTraps) {
    const RecipeTool& tool = recipe_tool(trap.tool);
    EXPECT_THAT(check_recipe(tool, replaced(tool.write(target), trap.from, trap.to), target), Not(IsEmpty()))
        << trap.tool;
  }
  // Prefixes that catch layers 10 and 11 are caught in mixtures too.
  const RecipeTool& tool = recipe_tool("compressed-tensors");
  const std::string text =
      replaced(tool.write(target), R"(layers\\.1\\.mlp\\.experts)", R"(layers\\.1.*experts)");
  EXPECT_THAT(check_recipe(tool, text, target)[0].unintended,
              Contains("model.layers.10.mlp.experts.3.down_proj"));
}

TEST(Recipe, LayersThatAreNotThereAndLayersWithoutAnFfnAreRefused) {
  try {
    target_of(llama(), 32, {2, 33});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), HasSubstr("layers 1 to 32"));
  }
  ArchitectureSpec attention_only = llama();
  attention_only.names.gate = attention_only.names.up = attention_only.names.down = {};
  try {
    target_of(attention_only, 4, {2});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
    EXPECT_THAT(error.what(), HasSubstr("layer 2 of llama has no feed-forward network"));
  }
}

TEST(Recipe, AnUnknownToolListsTheKnown) {
  try {
    recipe_tool("gguf");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    for (const RecipeTool& tool : recipe_tools())
      EXPECT_THAT(error.what(), HasSubstr(std::string(tool.name)));
  }
}

/// What the tools' own matchers found (tools/golden_recipes.py).
class RecipeMatching : public testing::Test {
 protected:
  template <typename Value, typename Matches>
  void expect_as_golden(const char* tool, const Matches& matches) {
    for (const char* file : {"recipe_matches.json", "recipe_mixture_matches.json"}) {
      const json golden =
          json::parse(read_file(std::string(DEFECTOSCOPE_SOURCE_DIR) + "/src/quantize/testdata/" + file));
      if (!golden.contains(tool)) continue;  // NNCF's are of dense models only
      const auto modules = golden.at("modules").get<std::vector<std::string>>();
      std::size_t matched = 0;
      for (const json& record : golden.at(tool)) {
        std::vector<std::size_t> found;
        const auto patterns = record.at("patterns").get<Value>();
        for (std::size_t i = 0; i < modules.size(); ++i)
          if (matches(patterns, modules[i])) found.push_back(i);
        EXPECT_EQ(found, record.at("matched").get<std::vector<std::size_t>>())
            << tool << " " << record.at("patterns");
        matched += found.size();
      }
      EXPECT_GT(matched, 0u) << tool;
    }
  }
};

TEST_F(RecipeMatching, CompressedTensorsFindsWhatItsOwnMatcherFinds) {
  expect_as_golden<Patterns>("compressed-tensors", [](const Patterns& ignore, const std::string& name) {
    return compressed_tensors_matches(ignore, name, "Linear");
  });
}

TEST_F(RecipeMatching, TransformersFindsWhatItsOwnMatcherFinds) {
  expect_as_golden<Patterns>("transformers", transformers_skips);
}

TEST_F(RecipeMatching, AutoAwqFindsWhatItsOwnMatcherFinds) {
  expect_as_golden<Patterns>("autoawq", substring_skips);
}

TEST_F(RecipeMatching, GptqModelFindsWhatItsOwnMatcherFinds) {
  expect_as_golden<Patterns>("gptqmodel", gptqmodel_skips);
}

TEST_F(RecipeMatching, TorchaoQuantizesWhatTorchaoQuantizes) {
  expect_as_golden<FqnKeys>("torchao", [](const FqnKeys& keys, const std::string& name) {
    return torchao_outcome(keys, name) == FqnOutcome::kConfigured;
  });
}

TEST_F(RecipeMatching, ModelOptDisablesWhatModelOptDisables) {
  expect_as_golden<QuantizerEntries>("modelopt",
                                     [](const QuantizerEntries& entries, const std::string& name) {
                                       return modelopt_disables(entries, name + ".weight_quantizer");
                                     });
}

TEST_F(RecipeMatching, NeuralCompressorKeepsWhatNeuralCompressorKeeps) {
  expect_as_golden<LocalConfigs>("neural-compressor", neural_compressor_keeps);
}

TEST_F(RecipeMatching, NncfIgnoresWhatNncfIgnores) {
  expect_as_golden<json>("nncf", [](const json& scope, const std::string& name) {
    return nncf_ignores(scope.at("names"), scope.at("patterns"), "__module." + name + "/aten::linear/MatMul");
  });
}

TEST_F(RecipeMatching, WildcardsAreThoseOfPythonsFnmatch) {
  expect_as_golden<Patterns>("fnmatch", wildcard_excludes);
}

}  // namespace
}  // namespace defectoscope
