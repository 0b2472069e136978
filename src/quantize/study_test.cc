#include "quantize/study.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "analysis/journal.h"
#include "base/error.h"
#include "base/files.h"
#include "base/parallel.h"
#include "forward/golden.h"
#include "quantize/study_parts.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {
namespace {

using ::testing::AllOf, ::testing::HasSubstr;

std::filesystem::path zoo() { return std::filesystem::path(DEFECTOSCOPE_SOURCE_DIR) / "zoo"; }

template <typename Body>
std::string message_of(Body body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

struct ZooModel {
  explicit ZooModel(const std::string& name)
      : model(Model::open(zoo() / name)),
        text(read_evaluation_text(zoo() / "heldout.txt", *open_tokenizer(model.folder()), model)) {}
  Model model;
  EvaluationText text;
};

/// The first `count` tokens of a text.
EvaluationText beginning(EvaluationText text, std::size_t count) {
  text.tokens.resize(count);
  return text;
}

/// Many small products on few tokens: threads that wait for each other would take most of the time.
class OneThread {
 public:
  OneThread() { set_thread_count(1); }
  ~OneThread() { set_thread_count(before_); }

 private:
  int before_ = thread_count();
};

TEST(EvaluationText, PerplexityOfZooModelsIsTransformersAsStoredAndRounded) {
  const auto golden = nlohmann::json::parse(
      read_file(std::string(DEFECTOSCOPE_SOURCE_DIR) + "/src/quantize/testdata/perplexity.json"));
  ASSERT_EQ(golden["models"].size(), 3u);
  for (const auto& expected : golden["models"]) {
    SCOPED_TRACE(expected["model"].get<std::string>());
    const ZooModel zoo_model(expected["model"]);
    const auto& tokens = zoo_model.text.tokens;
    EXPECT_EQ(static_cast<Index>(tokens.size()), expected["tokens"].get<Index>());
    EXPECT_EQ(TokenIds(tokens.begin(), tokens.begin() + 20), expected["first_ids"].get<TokenIds>());
    const Index window = window_for(zoo_model.model, 0);
    EXPECT_EQ(window, expected["window"].get<Index>());
    const QuantizedModel stored(zoo_model.model, method_named("none"), nullptr, window, ComputeType::kF32);
    const Perplexity got = perplexity(stored.transformer(), tokens, {.window = window});
    EXPECT_EQ(static_cast<Index>(got.windows.size()), expected["windows"].get<Index>());
    EXPECT_NEAR(got.perplexity, std::exp(expected["mean_loss"].get<double>()), 1e-4 * got.perplexity);
    for (std::size_t i = 0; i < 5; ++i)
      EXPECT_NEAR(got.windows[i].loss, expected["window_losses"][i].get<double>(),
                  1e-4 * got.windows[i].loss);
    // Rounded inputs that fall on the other side of a tie move single steps: hence the wider bound.
    const QuantizedModel rtn(zoo_model.model, method_named("rtn"), nullptr, window, ComputeType::kF32);
    const Perplexity rounded = perplexity(rtn.transformer(), tokens, {.window = window});
    EXPECT_NEAR(rounded.mean_loss, expected["rtn_mean_loss"].get<double>(), 2e-3);
  }
}

/// The texts that perplexities are published on, where ../shared has them; docs/quantization.md tells the
/// whole.
TEST(EvaluationText, OfWikiTextHasTransformersTokensWindowsAndLoss) {
  const std::filesystem::path root = DEFECTOSCOPE_SOURCE_DIR;
  const std::filesystem::path texts = root / ".." / "shared/data/text";
  if (!std::filesystem::exists(texts)) GTEST_SKIP() << "WikiText-2 is not in ../shared/data/text";
  const auto golden = nlohmann::json::parse(read_file(root / "src/quantize/testdata/wikitext.json"));
  ASSERT_EQ(golden["texts"].size(), 6u);
  for (const auto& expected : golden["texts"]) {
    const auto name = expected["text"].get<std::string>();
    SCOPED_TRACE(name);
    const Model model = Model::open(zoo() / expected["model"].get<std::string>());
    const EvaluationText text = read_evaluation_text(texts / name, *open_tokenizer(model.folder()), model);
    const WindowOptions options{.window = window_for(model, 0)};
    EXPECT_EQ(static_cast<Index>(text.tokens.size()), expected["tokens"].get<Index>());
    EXPECT_EQ(TextWindows(model, text.tokens, options).count(), expected["windows"].get<Index>());
    const Index first = expected["first_windows"].get<Index>() * options.window;
    const Perplexity got = perplexity(Transformer(model),
                                      std::span(text.tokens).first(static_cast<std::size_t>(first)), options);
    EXPECT_NEAR(got.mean_loss, expected["first_mean_loss"].get<double>(), 1e-4);
  }
}

TEST(Study, SkippingThePapersSetRecoversMostOfTheLossAndBeatsRandomSets) {
  const OneThread one_thread;
  const ZooModel llama("llama-base");
  StudyOptions options;
  options.windows.window = 32;
  options.skip_layers = {1, 6};
  options.target_increase = 0.01;
  ScanJournal journal;
  const QuantizeStudy study =
      study_quantization(llama.model, llama.text, llama.text, nullptr, options, journal);
  ASSERT_EQ(study.rows.size(), 8u);
  const double none = study.rows[0].mean_loss, rtn = study.rows[1].mean_loss, skip = study.rows[2].mean_loss;
  EXPECT_EQ(study.rows[0].mean_kl, 0);
  EXPECT_EQ(study.rows[2].method, "RTN, skip");
  EXPECT_GT(rtn - none, 0.02);
  EXPECT_LT(skip - none, 0.5 * (rtn - none));
  EXPECT_LT(study.rows[2].mean_kl, 0.3 * study.rows[1].mean_kl);
  EXPECT_EQ(study.draws.size(), 20u);
  EXPECT_EQ(study.draws_beaten, 20);
  EXPECT_LT(study.rows[1].bytes, study.rows[2].bytes);
  EXPECT_LT(study.rows[2].bytes, study.rows[0].bytes);
  // The matmuls the paper names are the worst of all 42.
  ASSERT_EQ(study.modules.size(), 42u);
  const auto alone = [&](Index layer) { return study.modules[static_cast<std::size_t>(7 * layer - 1)]; };
  for (const ModuleOutcome& module : study.modules)
    EXPECT_TRUE(module.path == alone(1).path || *module.alone_kl < *alone(1).alone_kl) << module.path;
  EXPECT_EQ(alone(1).path, "model.layers.0.mlp.down_proj");
  ASSERT_TRUE(study.search);
  EXPECT_LE(study.search->increase, 0.01);
  EXPECT_LE(study.search->skipped.size(), 3u);
  // An interrupted study goes on from its journal; here all of it is there.
  const QuantizeStudy again =
      study_quantization(llama.model, llama.text, llama.text, nullptr, options, journal);
  for (std::size_t i = 0; i < study.rows.size(); ++i) {
    EXPECT_EQ(again.rows[i].mean_loss, study.rows[i].mean_loss);
    EXPECT_EQ(again.rows[i].mean_kl, study.rows[i].mean_kl);
  }
}

TEST(Study, ATargetThatOnlyTheUnquantizedModelReachesIsRefused) {
  const OneThread one_thread;
  const ZooModel llama("llama-base");
  const EvaluationText text = beginning(llama.text, 96);
  StudyOptions options;
  options.windows.window = 32;
  options.draws = 0;
  options.target_increase = -0.5;
  ScanJournal journal;
  EXPECT_THAT(
      message_of([&] { study_quantization(llama.model, llama.text, llama.text, nullptr, options, journal); }),
      AllOf(HasSubstr("not reached"), HasSubstr("llama-base")));
}

TEST(Study, QuantizedLossesAreTheSameBytesAtAnyThreadCount) {
  const ZooModel llama("llama-base");
  const ActivationMaxima maxima =
      calibrate(llama.model, llama.text.tokens, {.window = 32}, ComputeType::kF32);
  const TokenIds tokens(llama.text.tokens.begin(), llama.text.tokens.begin() + 330);
  const int before = thread_count();
  for (const std::string& name : method_names()) {
    std::vector<std::vector<WindowLoss>> losses;
    for (const int threads : {1, 2, 3}) {
      set_thread_count(threads);
      const QuantizedModel model(llama.model, method_named(name), &maxima, 32, ComputeType::kF32);
      losses.push_back(perplexity(model.transformer(), tokens, {.window = 32, .rows_at_once = 128}).windows);
    }
    EXPECT_EQ(losses[0], losses[1]) << name;
    EXPECT_EQ(losses[0], losses[2]) << name;
  }
  set_thread_count(before);
}

TEST(Smoothing, LeavesTheModelsOutputsAsTheyWere) {
  for (const char* name :
       {"llama", "llama_linear", "gpt2", "mistral", "gpt_neox", "gptj", "mixtral", "mixtral_packed",
        "qwen2_moe", "qwen3_moe", "gpt_oss", "deepseek_v2", "deepseek_v3"}) {
    SCOPED_TRACE(name);
    const Golden golden = read_golden(name);
    const Model model = open_golden(golden);
    TokenIds tokens = golden.sequences.front();
    tokens.insert(tokens.end(), tokens.begin(), tokens.begin() + 3);
    const ActivationMaxima maxima = calibrate(model, tokens, {.window = 32}, ComputeType::kF32);
    const SmoothedModel smoothed = smooth(model, maxima, 0.5);
    EXPECT_FALSE(smoothed.groups.empty());
    EXPECT_TRUE(smoothed.notes.empty());
    const Matrix before = Transformer(model).final_states(Batch({tokens}));
    const Matrix after = Transformer(*smoothed.model).final_states(Batch({tokens}));
    for (Index i = 0; i < before.rows() * before.cols(); ++i)
      ASSERT_NEAR(after.data()[i], before.data()[i], 2e-5 * (1 + std::abs(before.data()[i])));
    // What the smoothed model's matmuls see is what smoothed_maxima says.
    const ActivationMaxima seen = calibrate(*smoothed.model, tokens, {.window = 32}, ComputeType::kF32);
    const ActivationMaxima said = smoothed_maxima(maxima, smoothed.groups);
    for (const ModuleId id : quantizable_modules(model))
      EXPECT_NEAR(seen.largest(id), said.largest(id), 1e-4 * said.largest(id));
  }
}

TEST(Smoothing, FamiliesWithoutANormBeforeTheirMatmulsSaySo) {
  for (const char* name : {"exaone4", "openai_gpt"}) {
    const Golden golden = read_golden(name);
    const Model model = open_golden(golden);
    TokenIds tokens = golden.sequences.front();
    tokens.insert(tokens.end(), tokens.begin(), tokens.end());
    const SmoothedModel smoothed =
        smooth(model, calibrate(model, tokens, {.window = 26}, ComputeType::kF32), 0.5);
    EXPECT_TRUE(smoothed.groups.empty());
    ASSERT_EQ(smoothed.notes.size(), 1u);
    EXPECT_THAT(smoothed.notes[0], HasSubstr("no norm before"));
  }
}

TEST(Smoothing, WhatItNotesIsSaidAgainWhereAnInterruptedRunGoesOn) {
  const Golden golden = read_golden("exaone4");
  const Model model = open_golden(golden);
  TokenIds tokens = golden.sequences.front();
  tokens.insert(tokens.end(), tokens.begin(), tokens.end());
  const WindowOptions windows{.window = 13};
  const ActivationMaxima maxima = calibrate(model, tokens, windows, ComputeType::kF32);
  ScanJournal journal;
  for (const char* run : {"the first", "one that finds its work done"}) {
    SCOPED_TRACE(run);
    std::vector<std::string> notes;
    MethodComparison(model, tokens, windows, maxima, ComputeType::kF32, journal)
        .run({method_named("rtn"), method_named("smoothquant")}, notes);
    EXPECT_THAT(notes, ::testing::ElementsAre(HasSubstr("no norm before")));
  }
}

TEST(Calibration, NeedsMoreThanAToken) {
  const Model model = open_golden(read_golden("llama"));
  const TokenIds one{5};
  EXPECT_THAT(message_of([&] { calibrate(model, one, {.window = 32}, ComputeType::kF32); }),
              HasSubstr("got: 1 token"));
}

/// Puts a NaN into one token of the second layer, before its FFN.
class Breaker final : public Observer {
 public:
  void on_states(Index layer_index, Tap tap, const Batch&, MatrixView states) override {
    if (layer_index == 1 && tap == Tap::kBeforeFfn) states(3, 5) = std::numeric_limits<float>::quiet_NaN();
  }
};

TEST(QuantizedModel, NanActivationsAreNamedByLayerAndToken) {
  const Golden golden = read_golden("llama");
  const Model model = open_golden(golden);
  for (const char* method : {"rtn", "per-token", "llm-int8", "fp8"}) {
    const QuantizedModel quantized(model, method_named(method), nullptr, 0, ComputeType::kF32);
    Breaker breaker;
    EXPECT_THAT(message_of([&] { quantized.transformer().run(Batch({golden.sequences[0]}), breaker); }),
                AllOf(HasSubstr("layer 2 gives NaN"), HasSubstr("token 4 of sequence 1")))
        << method;
  }
}

TEST(QuantizedModel, PartsOfAFusedMatrixShareItsStep) {
  const Model gpt2 = open_golden(read_golden("gpt2"));
  EXPECT_EQ(stored_together(gpt2, {1, Module::kKey}).size(), 3u);
  EXPECT_EQ(module_path(gpt2, {1, Module::kKey}), "transformer.h.1.attn.c_attn");
  EXPECT_EQ(module_path(gpt2, {1, Module::kDown}), "transformer.h.1.mlp.c_proj");
  EXPECT_EQ(quantizable_modules(gpt2).size(), 3u * 6u);
  const Model llama = open_golden(read_golden("llama"));
  EXPECT_EQ(stored_together(llama, {1, Module::kKey}).size(), 1u);
  EXPECT_EQ(quantizable_modules(llama).size(), 3u * 7u);
}

TEST(SkipSets, HoldWhatTheyAreAskedFor) {
  const Model model = open_golden(read_golden("llama"));
  EXPECT_EQ(down_modules(model, {1, 3}), (ModuleSet{{0, Module::kDown}, {2, Module::kDown}}));
  EXPECT_EQ(layer_modules(model, {2}).size(), 7u);
  EXPECT_THAT(message_of([&] { down_modules(model, {4}); }), HasSubstr("layers 1 to 3"));
  EXPECT_THAT(message_of([&] { down_modules(model, {0}); }), HasSubstr("no layer 0"));
  const ModuleSet excluded = down_modules(model, {1, 2});
  std::set<ModuleSet> different;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const ModuleSet drawn = random_modules(model, 2, excluded, seed);
    EXPECT_EQ(drawn.size(), 2u);
    for (const ModuleId id : drawn) EXPECT_FALSE(excluded.contains(id));
    different.insert(drawn);
  }
  EXPECT_GT(different.size(), 10u);
}

TEST(RankCorrelation, IsSpearmans) {
  const std::vector<double> a{1, 2, 3, 4, 5}, reversed{10, 8, 6, 4, 2}, ties{1, 1, 2, 2, 9};
  EXPECT_DOUBLE_EQ(*rank_correlation(a, a), 1);
  EXPECT_DOUBLE_EQ(*rank_correlation(a, reversed), -1);
  EXPECT_NEAR(*rank_correlation(a, ties), 9 / std::sqrt(90.0), 1e-12);  // ranks 1.5 1.5 3.5 3.5 5
  EXPECT_FALSE(rank_correlation(a, std::vector<double>(5, 1.0)));
  EXPECT_FALSE(rank_correlation(std::vector<double>{1, 2}, std::vector<double>{1, 2}));
}

TEST(Methods, UnknownNamesAreAnsweredWithTheKnown) {
  EXPECT_THAT(message_of([] { method_named("gptq"); }),
              AllOf(HasSubstr("gptq"), HasSubstr("smoothquant"), HasSubstr("llm-int8")));
}

}  // namespace
}  // namespace defectoscope
