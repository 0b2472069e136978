// Signatures and what is done with them, through the command line.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "program.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

class LineageCommand : public testing::Test {
 protected:
  LineageCommand()
      : folder_(fs::temp_directory_path() / ("defectoscope-lineage-" + std::to_string(getpid()))) {
    fs::remove_all(folder_);
    make_folder(folder_);
  }
  ~LineageCommand() override { fs::remove_all(folder_); }

  static std::string zoo(const std::string& name) { return DEFECTOSCOPE_SOURCE_DIR "/zoo/" + name; }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }

  fs::path folder_;
};

TEST_F(LineageCommand, SignatureWritesASmallFileAndSaysWhatItHolds) {
  const Outcome outcome = run_defectoscope({"signature", zoo("llama-base"), "-o", file("a.sig.safetensors")});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  EXPECT_THAT(outcome.out, HasSubstr("llama, 6 layers of width 64, canonical form"));
  EXPECT_THAT(outcome.out, HasSubstr("1023 sampled tokens"));
  EXPECT_LT(fs::file_size(file("a.sig.safetensors")), 30'000u);
}

TEST_F(LineageCommand, SignatureOfAModelWithoutTokenizerSaysWhatIsMissing) {
  fs::copy(zoo("llama-base"), folder_ / "bare");
  fs::remove(folder_ / "bare/tokenizer.json");
  const Outcome outcome = run_defectoscope({"signature", file("bare"), "-o", file("b.sig.safetensors")});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("no vocabulary in its signature"));
  EXPECT_THAT(outcome.out, HasSubstr("vocabulary: none"));
}

TEST_F(LineageCommand, AFullDiskLeavesTheOldSignatureInPlace) {
  write_file(folder_ / "a.sig.safetensors", "old");
  const Outcome outcome = run_defectoscope({"signature", zoo("llama-base"), "-o", file("a.sig.safetensors")},
                                           {.folder = {}, .file_limit = 1000});
  EXPECT_EQ(outcome.exit_code, 4) << outcome.err;
  EXPECT_EQ(read_file(folder_ / "a.sig.safetensors"), "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1);
}

TEST_F(LineageCommand, CompareSaysTheSameOfModelsAndTheirSignatures) {
  ASSERT_EQ(run_defectoscope({"signature", zoo("llama-base"), "-o", file("a.sig.safetensors")}).exit_code, 0);
  const Outcome models =
      run_defectoscope({"compare", zoo("llama-base"), zoo("llama-base-ft-lora"), "--json"});
  const Outcome mixed =
      run_defectoscope({"compare", file("a.sig.safetensors"), zoo("llama-base-ft-lora"), "--json"});
  EXPECT_EQ(models.exit_code, 0) << models.err;
  const json result = json::parse(models.out), from_file = json::parse(mixed.out);
  for (std::size_t k = 0; k < 8; ++k) EXPECT_EQ(result["evidence"][k], from_file["evidence"][k]);
  EXPECT_EQ(result["evidence"][8]["compared"], true);
  EXPECT_EQ(from_file["evidence"][8]["reason"],
            "a signature file (llama-base) holds no embedding: give both models");
  EXPECT_EQ(from_file["embedding_fit"], nullptr);
  EXPECT_GT(result["embedding_fit"]["fit"], 0.99);
  for (const char* same : {"a", "b", "verdict", "distance_degrees", "shared_tokens"})
    EXPECT_EQ(result[same], from_file[same]) << same;
  EXPECT_EQ(result["verdict"], "related");
  EXPECT_LT(result["distance_degrees"], 10);
  EXPECT_LT(result["p_value"], 1e-4);
  EXPECT_EQ(result["evidence"].size(), 10u);
  EXPECT_EQ(result["layers_of_b"].size(), 6u);
  EXPECT_EQ(result["evidence"][0]["log10_p_value"].get<double>(),
            std::max(result["evidence"][0]["log10_p_laws"].get<double>(),
                     result["evidence"][0]["log10_p_empirical"].get<double>()));
}

TEST_F(LineageCommand, CompareInWordsNamesWhatCarriedTheVerdictAndWhatWasNotCompared) {
  const Outcome outcome = run_defectoscope({"compare", zoo("llama-base"), zoo("llama-wide")});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("related: one was made from the other, or both from a common ancestor"));
  EXPECT_THAT(outcome.out, HasSubstr("not compared: layers: hidden states of different width (64 and 96)"));
  EXPECT_THAT(outcome.out, HasSubstr("Carried by ffn-tokens"));
}

TEST_F(LineageCommand, DamagedSignaturesAreRefusedWithAMessage) {
  ASSERT_EQ(run_defectoscope({"signature", zoo("llama-base"), "-o", file("a.sig.safetensors")}).exit_code, 0);
  std::string bytes = read_file(file("a.sig.safetensors"));
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_file(file("edited.sig.safetensors"), bytes);
  const Outcome outcome =
      run_defectoscope({"compare", file("edited.sig.safetensors"), file("a.sig.safetensors")});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("edited.sig.safetensors"));
  EXPECT_THAT(outcome.err, HasSubstr("changed after it was written"));
}

TEST_F(LineageCommand, LineageFindsClustersInTextJsonTablesAndFigures) {
  for (const char* model : {"llama-base", "llama-base-ft-full", "llama-seed2"})
    ASSERT_EQ(run_defectoscope({"signature", zoo(model), "-o", file(std::string(model) + ".safetensors")})
                  .exit_code,
              0);
  const std::vector<std::string> all{"lineage", file("llama-base.safetensors"),
                                     file("llama-seed2.safetensors"), file("llama-base-ft-full.safetensors")};
  std::vector<std::string> as_json = all;
  as_json.insert(as_json.end(), {"--json", "--out", file("out")});
  const Outcome outcome = run_defectoscope(as_json);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const json result = json::parse(outcome.out);
  EXPECT_EQ(result["models"][0]["cluster"], 1);
  EXPECT_EQ(result["models"][1]["cluster"], 2);
  EXPECT_EQ(result["models"][2]["cluster"], 1);
  const std::string csv = read_file(file("out/tables/lineage-pairs.csv"));
  EXPECT_EQ(std::ranges::count(csv, '\n'), 4);
  EXPECT_THAT(csv, HasSubstr("llama-base,llama-base-ft-full,"));
  for (const char* written : {"lineage.json", "report.html", "figures/lineage-dendrogram.svg"})
    EXPECT_TRUE(fs::exists(folder_ / "out" / written)) << written;
  EXPECT_EQ(read_file(file("out/lineage.json")), outcome.out);
  EXPECT_THAT(run_defectoscope(all).out, HasSubstr("cluster 2\n  llama-seed2\n"));
}

TEST_F(LineageCommand, DisguiseWritesAModelThatCompareStillRecognizes) {
  const Outcome made =
      run_defectoscope({"disguise", zoo("llama-base-ft-full"), "--attack", "hidden-permutation", "--attack",
                        "residual-scaling:2", "--attack", "noise:0.01", "--out", file("hidden")});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const json result =
      json::parse(run_defectoscope({"compare", zoo("llama-base"), file("hidden"), "--json"}).out);
  EXPECT_EQ(result["verdict"], "related");
  EXPECT_GT(result["distance_degrees"], 45);  // the paper's alone would not have seen it
  EXPECT_EQ(run_defectoscope({"disguise", zoo("llama-base"), "--attack", "noise", "--out", file("hidden")})
                .exit_code,
            2);
  EXPECT_EQ(
      run_defectoscope({"disguise", zoo("llama-base"), "--attack", "paint", "--out", file("new")}).exit_code,
      2);
  EXPECT_FALSE(fs::exists(file("new")));
}

TEST_F(LineageCommand, RegistryAddsListsSearchesAndRemoves) {
  const std::string place = file("new/registry.db");
  const auto registry = [&](std::vector<std::string> arguments, const std::string& action) {
    arguments.insert(arguments.begin(), {"registry", action, "--database", place});
    return run_defectoscope(arguments);
  };
  EXPECT_EQ(registry({}, "list").exit_code, 3);  // there is none yet
  ASSERT_EQ(run_defectoscope({"signature", zoo("llama-wide"), "-o", file("w.sig.safetensors")}).exit_code, 0);
  const std::vector<std::string> both{zoo("llama-base-ft-lora"), file("w.sig.safetensors")};
  const Outcome added = registry(both, "add");
  ASSERT_EQ(added.exit_code, 0) << added.err;
  EXPECT_EQ(added.out, "llama-base-ft-lora: added\nllama-wide: added\n");
  EXPECT_THAT(registry(both, "add").out, HasSubstr("there already"));
  EXPECT_THAT(registry({both[0], "--name", "copy"}, "add").out, HasSubstr("there as llama-base-ft-lora"));
  const Outcome taken = registry({zoo("llama-seed2"), "--name", "llama-wide"}, "add");
  EXPECT_EQ(taken.exit_code, 2);
  EXPECT_THAT(taken.err, HasSubstr("--replace"));
  EXPECT_EQ(registry({zoo("llama-seed2"), "--name", "seed2"}, "add").exit_code, 0);

  EXPECT_EQ(json::parse(registry({"--json"}, "list").out)["models"].size(), 3u);
  EXPECT_THAT(registry({"--csv"}, "list").out, HasSubstr("\nseed2,llama-seed2,llama,canonical,"));
  const json found = json::parse(registry({zoo("llama-base"), "--json", "--top", "2"}, "search").out);
  EXPECT_EQ(found["searched"], 3);
  ASSERT_EQ(found["found"].size(), 2u);
  for (const json& model : found["found"]) EXPECT_EQ(model["verdict"], "related");
  EXPECT_THAT(registry({zoo("llama-base")}, "search").out, HasSubstr("no evidence of a common origin"));

  EXPECT_EQ(registry({"seed2", "nobody"}, "remove").exit_code, 3);
  EXPECT_EQ(registry({"seed2"}, "remove").out, "seed2: removed\n");
  EXPECT_THAT(registry({}, "list").out, HasSubstr("2 models"));
}

TEST_F(LineageCommand, RegistryRefusesUnusableSignaturesByNameAndKeepsWhatItHas) {
  const std::string place = file("registry.db");
  ASSERT_EQ(run_defectoscope({"signature", zoo("llama-base"), "-o", file("a.sig.safetensors")}).exit_code, 0);
  ASSERT_EQ(run_defectoscope({"registry", "add", "--database", place, file("a.sig.safetensors")}).exit_code,
            0);
  const std::string whole = read_file(file("a.sig.safetensors"));
  std::string edited = whole, newer = whole;
  edited.back() = static_cast<char>(edited.back() ^ 1);
  newer.replace(newer.find("\"version\":\"2\""), 13, "\"version\":\"9\"");
  for (const auto& [bytes, said] : {std::pair(edited, "changed after it was written"),
                                    {newer, "newer schema"},
                                    {whole.substr(0, whole.size() / 2), "b.sig.safetensors"}}) {
    write_file(folder_ / "b.sig.safetensors", bytes);
    for (const char* action : {"add", "search"}) {
      const Outcome outcome =
          run_defectoscope({"registry", action, "--database", place, file("b.sig.safetensors")});
      EXPECT_EQ(outcome.exit_code, 3);
      EXPECT_THAT(outcome.err, testing::AllOf(HasSubstr("b.sig.safetensors"), HasSubstr(said)));
    }
  }
  EXPECT_THAT(run_defectoscope({"registry", "list", "--database", place}).out, HasSubstr("1 model\n"));
}

TEST_F(LineageCommand, OnAFullDiskTheRegistryKeepsWhatItHadAndGoesOnLater) {
  const std::string place = file("registry.db");
  const auto add = [&](const char* model, std::size_t limit) {
    return run_defectoscope({"registry", "add", "--database", place, zoo(model)},
                            {.folder = {}, .file_limit = limit});
  };
  ASSERT_EQ(add("llama-base", 0).exit_code, 0);
  const Outcome full = add("gpt2-mini", 40'000);  // two pages of the log
  EXPECT_EQ(full.exit_code, 4) << full.err;
  EXPECT_THAT(full.err, HasSubstr("registry.db"));
  EXPECT_THAT(run_defectoscope({"registry", "list", "--database", place}).out,
              testing::AllOf(HasSubstr("1 model\n"), HasSubstr("llama-base")));
  EXPECT_EQ(add("gpt2-mini", 0).exit_code, 0);
}

TEST_F(LineageCommand, EveryKindOfUnusableSignatureIsRefusedByName) {
  ASSERT_EQ(run_defectoscope({"signature", zoo("llama-base"), "-o", file("a.sig.safetensors")}).exit_code, 0);
  const std::string whole = read_file(file("a.sig.safetensors"));
  const auto message = [&](const std::string& bytes) {
    write_file(folder_ / "b.sig.safetensors", bytes);
    const Outcome outcome =
        run_defectoscope({"compare", file("a.sig.safetensors"), file("b.sig.safetensors")});
    EXPECT_EQ(outcome.exit_code, 3);
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, HasSubstr("b.sig.safetensors"));
    return outcome.err;
  };
  message(whole.substr(0, whole.size() - 100));
  message(whole.substr(0, 20));
  std::string newer = whole;
  newer.replace(newer.find("\"version\":\"2\""), 13, "\"version\":\"9\"");
  EXPECT_THAT(message(newer), HasSubstr("newer schema"));
}

TEST_F(LineageCommand, ModelsOfOneLayerAndWithoutSharedTokensCompareAsFarAsTheyCan) {
  ASSERT_EQ(
      run_defectoscope({"disguise", zoo("llama-base"), "--attack", "drop-layers:5", "--out", file("one")})
          .exit_code,
      0);
  const json one = json::parse(run_defectoscope({"compare", file("one"), file("one"), "--json"}).out);
  EXPECT_EQ(one["verdict"], "same-weights");
  const json part = json::parse(run_defectoscope({"compare", zoo("llama-base"), file("one"), "--json"}).out);
  EXPECT_EQ(part["verdict"], "related");
  EXPECT_EQ(part["missing_layers_of_a"].size(), 5u);
  fs::copy(zoo("llama-base-ft-full"), folder_ / "bare");
  fs::remove(folder_ / "bare/tokenizer.json");
  const Outcome apart = run_defectoscope({"compare", zoo("llama-wide"), file("bare")});
  EXPECT_EQ(apart.exit_code, 0);
  EXPECT_THAT(apart.out, HasSubstr("not comparable"));
  EXPECT_THAT(apart.out, HasSubstr("no vocabulary in the signature of bare"));
}

TEST_F(LineageCommand, WeightsThatAreNotFiniteGiveNoSignature) {
  fs::copy(zoo("llama-base"), folder_ / "broken");
  std::string weights = read_file(file("broken/model.safetensors"));
  for (std::size_t i = weights.size() / 2; i < weights.size() / 2 + 4096; ++i)
    weights[i] = static_cast<char>(0xff);  // NaN in bf16
  write_file(folder_ / "broken/model.safetensors", weights);
  const Outcome outcome = run_defectoscope({"signature", file("broken"), "-o", file("b.sig.safetensors")});
  EXPECT_EQ(outcome.exit_code, 3) << outcome.out;
  EXPECT_THAT(outcome.err, HasSubstr("a weight is not finite"));
  EXPECT_THAT(outcome.err, HasSubstr("model.layers."));
  EXPECT_FALSE(fs::exists(file("b.sig.safetensors")));
}

TEST_F(LineageCommand, DisguiseSaysHowFarTheLogitsMoved) {
  const Outcome made =
      run_defectoscope({"disguise", zoo("llama-base"), "--attack", "rotation", "--attack",
                        "vocabulary-extension", "--attack", "vocabulary-shuffle", "--out", file("hidden")});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  EXPECT_THAT(made.out, HasSubstr("logits: "));
  EXPECT_THAT(made.out, HasSubstr("text: cut into the same entries as the original's"));
  EXPECT_EQ(made.err, "");
}

TEST_F(LineageCommand, PhantomsOfOnePlanAreAlikeButNotCalledRelated) {
  for (const char* seed : {"9001", "9002"}) {
    const Outcome made =
        run_defectoscope({"phantom", "--shape", "tiny", "--seed", seed, "--out", file(seed)});
    ASSERT_EQ(made.exit_code, 0) << made.err;
  }
  const json result = json::parse(run_defectoscope({"compare", file("9001"), file("9002"), "--json"}).out);
  EXPECT_EQ(result["verdict"], "no-evidence");
  const json& gram = result["evidence"][6];
  ASSERT_EQ(gram["kind"], "gram");
  // By the laws their directions stand alike; other phantoms say that this is the plan, not the origin.
  EXPECT_LT(gram["log10_p_laws"], -4);
  EXPECT_GT(gram["log10_p_value"], -2);
}

}  // namespace
}  // namespace defectoscope
