// Mixtures of experts and latent attention, quantized: every matrix of theirs, and nothing else.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "analysis/journal.h"
#include "base/error.h"
#include "base/files.h"
#include "checkpoint/safetensors.h"
#include "forward/golden.h"
#include "kernels/test_support.h"
#include "quantize/export.h"
#include "quantize/study.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf, ::testing::Contains, ::testing::ElementsAre, ::testing::HasSubstr, ::testing::Not;

QuantScheme weights_alone() {
  QuantScheme scheme = rtn_scheme();
  scheme.activation_bits = kUnquantizedBits;
  return scheme;
}

QuantMethod rtn_skipping(ModuleSet skipped) {
  QuantMethod method = method_named("rtn");
  method.skipped = std::move(skipped);
  return method;
}

Matrix logits_of(const Transformer& transformer, const std::vector<TokenIds>& sequences) {
  const Matrix states = transformer.final_states(Batch(sequences));
  Matrix logits(states.rows(), transformer.model().config().vocab_size);
  transformer.logits(states, logits);
  return logits;
}

/// The logits under a scheme, windows being whole sequences of `window` tokens.
Matrix quantized_logits(const Model& model, const QuantMethod& method, const std::vector<TokenIds>& sequences,
                        Index window = 0) {
  return logits_of(QuantizedModel(model, method, nullptr, window, ComputeType::kF32).transformer(),
                   sequences);
}

class QuantizedMixture : public ::testing::TestWithParam<const char*> {
 protected:
  Matrix golden_logits(const std::string& kind) const {
    const Tensor found = file_->tensors().at(golden_.name + "." + kind);
    const std::vector<float> values = to_f32(found);
    Matrix logits(found.shape[0], found.shape[1]);
    std::ranges::copy(values, logits.data());
    return logits;
  }
  std::string name() const { return golden_.name; }

  Golden golden_ = read_golden(GetParam());
  Model model_ = open_golden(golden_);
  std::shared_ptr<const SafetensorsFile> file_ = SafetensorsFile::open(
      std::string(DEFECTOSCOPE_SOURCE_DIR) + "/src/quantize/testdata/mixtures.safetensors");
};

/// By transformers with each matrix, of each expert apart, rounded by PyTorch
/// (tools/golden_quantized_mixtures.py).
TEST_P(QuantizedMixture, LogitsArePyTorchsWithEveryMatrixRoundedAndRoutersLeft) {
  const Matrix plain = logits_of(Transformer(model_), golden_.sequences);
  QuantMethod weights = method_named("rtn");
  weights.scheme = weights_alone();
  const Matrix rounded = quantized_logits(model_, weights, golden_.sequences);
  EXPECT_LT(relative_error(rounded, golden_logits("w8a16")), 1e-5);
  EXPECT_GT(relative_error(plain, golden_logits("w8a16")), 1e-3);
  // Inputs that fall on the other side of a tie move single steps.
  const Matrix both = quantized_logits(model_, method_named("rtn"), golden_.sequences);
  EXPECT_LT(relative_error(both, golden_logits("w8a8")), 2e-3);
  EXPECT_GT(relative_error(both, rounded), 1e-2);
}

TEST_P(QuantizedMixture, SkippingEveryMatrixLeavesTheModelAndEachMatrixMatters) {
  const std::vector<ModuleId> modules = quantizable_modules(model_);
  const ModuleSet all(modules.begin(), modules.end());
  EXPECT_EQ(all.size(), modules.size());
  EXPECT_EQ(testing::to_vector(quantized_logits(model_, rtn_skipping(all), golden_.sequences)),
            testing::to_vector(logits_of(Transformer(model_), golden_.sequences)));
  // Each is measured by itself; an expert that no token reached has no damage to tell of.
  const auto damage =
      measure_damage(model_, {.scheme = rtn_scheme(), .skipped = {}}, golden_.sequences[0], {.window = 13});
  ASSERT_EQ(damage.size(), modules.size());
  for (std::size_t i = 0; i < damage.size(); ++i) {
    EXPECT_EQ(damage[i].id, modules[i]);
    EXPECT_EQ(damage[i].rows > 0, damage[i].relative_error > 0) << module_label(modules[i]);
    EXPECT_LT(damage[i].relative_error, 0.2) << module_label(modules[i]);
    if (modules[i].expert == ModuleId::kNoExpert || modules[i].expert == ModuleId::kSharedExpert) {
      EXPECT_EQ(damage[i].rows, 13) << module_label(modules[i]);
    }
  }
}

TEST_P(QuantizedMixture, WindowsOfOnePassAreQuantizedAsIfAloneTheSameBytesAtAnyThreadCount) {
  TokenIds other = golden_.sequences[0];
  std::ranges::reverse(other);
  for (const char* method : {"rtn", "llm-int8", "fp8"}) {
    const auto together = testing::same_at_any_thread_count([&] {
      return testing::to_vector(
          quantized_logits(model_, method_named(method), {golden_.sequences[0], other}, 13));
    });
    std::vector<float> alone;
    for (const TokenIds& tokens : {golden_.sequences[0], other}) {
      const auto part = testing::to_vector(quantized_logits(model_, method_named(method), {tokens}, 13));
      alone.insert(alone.end(), part.begin(), part.end());
    }
    ASSERT_EQ(together.size(), alone.size());
    for (std::size_t i = 0; i < alone.size(); ++i)
      ASSERT_NEAR(together[i], alone[i], 1e-5 * (1 + std::abs(alone[i]))) << method;
  }
}

TEST_P(QuantizedMixture, StaticStepsCoverExpertsThatCalibrationNeverMet) {
  const TokenIds few(16, 5);  // one token over and over: few experts
  const ActivationMaxima maxima = calibrate(model_, few, {.window = 16}, ComputeType::kF32);
  EXPECT_GT(unmet_experts(model_, maxima), 0);
  QuantMethod method = method_named("rtn");
  method.scheme.static_activations = true;
  const QuantizedModel quantized(model_, method, &maxima, 0, ComputeType::kF32);
  ASSERT_EQ(quantized.notes().size(), 1u);
  EXPECT_THAT(quantized.notes()[0], HasSubstr("of the model's experts"));
  for (const ModuleId id : quantizable_modules(model_)) EXPECT_GT(maxima.largest(id), 0) << module_label(id);
  const Matrix logits = logits_of(quantized.transformer(), golden_.sequences);
  EXPECT_LT(relative_error(logits, golden_logits("w8a16")), 1);
}

INSTANTIATE_TEST_SUITE_P(Families, QuantizedMixture,
                         ::testing::Values("mixtral", "mixtral_packed", "qwen2_moe", "qwen3_moe", "gpt_oss",
                                           "deepseek_v2", "deepseek_v3"),
                         [](const auto& info) { return std::string(info.param); });

std::vector<std::string> paths(const Model& model, const ModuleSet& set) {
  std::vector<std::string> names;
  for (const ModuleId id : set) names.push_back(module_path(model, id));
  return names;
}

TEST(MixtureModules, SkipSetsAreF2OfEveryExpertUnderTheNamesAsStored) {
  const Model qwen = open_golden(read_golden("qwen2_moe"));
  const auto of_layer_1 = paths(qwen, down_modules(qwen, {1}));
  EXPECT_EQ(of_layer_1.size(), 6u + 1);
  EXPECT_THAT(of_layer_1, Contains("model.layers.0.mlp.experts.5.down_proj"));
  EXPECT_EQ(of_layer_1.back(), "model.layers.0.mlp.shared_expert.down_proj");
  EXPECT_THAT(paths(qwen, down_modules(qwen, {2})), ElementsAre("model.layers.1.mlp.down_proj"));  // dense
  EXPECT_EQ(layer_modules(qwen, {1}).size(), 4u + 3 * 7);
  EXPECT_EQ(module_label({0, Module::kDown, 5}), "layer 1 expert 5 down");
  EXPECT_EQ(module_label({0, Module::kUp, ModuleId::kSharedExpert}), "layer 1 shared expert up");

  const Model mixtral = open_golden(read_golden("mixtral"));
  EXPECT_EQ(module_path(mixtral, {1, Module::kDown, 3}), "model.layers.1.block_sparse_moe.experts.3.w2");
  EXPECT_THAT(
      module_names(mixtral, {1, Module::kGate, 3}),
      ElementsAre("model.layers.1.block_sparse_moe.experts.3.w1", "model.layers.1.mlp.experts.3.gate_proj"));
  const Model packed = open_golden(read_golden("mixtral_packed"));
  EXPECT_EQ(module_path(packed, {1, Module::kUp, 3}), "model.layers.1.mlp.experts.gate_up_proj[3]");

  const Model deepseek = open_golden(read_golden("deepseek_v3"));
  EXPECT_EQ(module_path(deepseek, {2, Module::kKeyPosition}), "model.layers.2.self_attn.kv_a_proj_with_mqa");
  EXPECT_EQ(module_path(deepseek, {2, Module::kQueryExpand}), "model.layers.2.self_attn.q_b_proj");
  EXPECT_EQ(stored_together(deepseek, {2, Module::kValueExpand}),
            (std::vector{Module::kKeyExpand, Module::kValueExpand}));
}

TEST(MixtureModules, TheTableOfAMixtureHasEveryMatmulAndItsControls) {
  const Golden golden = read_golden("qwen2_moe");
  const Model model = open_golden(golden);
  EvaluationText text{.source = "drawn", .sha256 = {}, .tokens = golden.sequences[0]};
  text.tokens.insert(text.tokens.end(), golden.sequences[0].begin(), golden.sequences[0].end());
  StudyOptions options;
  options.windows.window = 13;
  options.skip_layers = {1};
  options.draws = 2;
  ScanJournal journal;
  const QuantizeStudy study = study_quantization(model, text, text, nullptr, options, journal);
  EXPECT_EQ(study.rows[2].skipped.size(), 7u);
  EXPECT_EQ(study.draws[0].skipped.size(), 7u);
  EXPECT_EQ(study.modules.size(), 3u * 4 + 2 * 3 * 7 + 3);
  EXPECT_EQ(study.rows[0].mean_kl, 0);
  EXPECT_GT(study.rows[1].mean_kl, 0);
  EXPECT_LT(study.rows[1].bytes, study.rows[2].bytes);
  for (const ModuleOutcome& module : study.modules) {
    EXPECT_EQ(module.measured.rows > 0, *module.alone_kl > 0) << module.path;
  }
}

class MixtureExport : public ::testing::Test {
 protected:
  MixtureExport()
      : folder_(fs::temp_directory_path() / ("defectoscope-mixture-" + std::to_string(getpid()))) {
    fs::remove_all(folder_);
  }
  ~MixtureExport() override { fs::remove_all(folder_); }
  /// With config.json beside it, as a user's model has.
  Model written(const Golden& golden) const {
    write_generated_model(folder_ / golden.name, golden.config_json, golden.tensors, golden.seed,
                          DType::kF32);
    return Model::open(folder_ / golden.name);
  }
  fs::path folder_;
};

TEST_F(MixtureExport, IsReadBackWithTheSameLogits) {
  for (const char* name : {"mixtral", "qwen2_moe", "deepseek_v3"}) {
    for (const char* kind : {"rtn", "smoothquant", "per-token"}) {
      SCOPED_TRACE(std::string(name) + " " + kind);
      const Golden golden = read_golden(name);
      const Model model = written(golden);
      TokenIds text = golden.sequences[0];
      text.insert(text.end(), text.begin(), text.begin() + 13);
      const ActivationMaxima maxima = calibrate(model, text, {.window = 13}, ComputeType::kF32);
      QuantMethod method = method_named(kind);
      method.skipped = down_modules(model, {2});
      method.scheme.static_activations = method.scheme.activations == Granularity::kTensor;
      const fs::path out = folder_ / "out";
      export_compressed_tensors(model, method, &maxima, out);
      const Model back = Model::open(out);
      // Integers times steps are fixed points of the rounding: quantizing what was read changes nothing.
      QuantMethod again = method;
      again.smooth = false;
      const ActivationMaxima used =
          method.smooth ? smoothed_maxima(maxima, smooth(model, maxima, 0.5).groups) : maxima;
      const QuantizedModel direct(model, method, &maxima, 13, ComputeType::kF32);
      const QuantizedModel read(back, again, &used, 13, ComputeType::kF32);
      EXPECT_LT(relative_error(logits_of(read.transformer(), golden.sequences),
                               logits_of(direct.transformer(), golden.sequences)),
                1e-5);
      fs::remove_all(folder_);
    }
  }
}

TEST_F(MixtureExport, NamesEveryExpertAndLeavesRoutersAlone) {
  const Golden golden = read_golden("qwen2_moe");
  const Model model = written(golden);
  QuantMethod method = method_named("per-token");
  method.skipped = down_modules(model, {1});
  export_compressed_tensors(model, method, nullptr, folder_ / "out");
  const auto config = nlohmann::json::parse(read_file(folder_ / "out/config.json"))["quantization_config"];
  const auto ignored = config["ignore"].get<std::vector<std::string>>();
  EXPECT_THAT(ignored,
              AllOf(Contains("model.layers.0.mlp.experts.5.down_proj"),
                    Contains("model.layers.0.mlp.shared_expert.down_proj"),
                    Contains("model.layers.0.mlp.gate"), Contains("model.layers.0.mlp.shared_expert_gate"),
                    Contains("lm_head"), Not(Contains("model.layers.2.mlp.experts.5.down_proj"))));
  const auto file = SafetensorsFile::open(folder_ / "out/model.safetensors");
  const auto dtype = [&](const std::string& name) { return file->tensors().at(name + ".weight").dtype; };
  EXPECT_EQ(dtype("model.layers.0.mlp.experts.5.down_proj"), DType::kF32);
  EXPECT_EQ(dtype("model.layers.0.mlp.experts.5.up_proj"), DType::kI8);
  EXPECT_EQ(dtype("model.layers.2.mlp.experts.5.down_proj"), DType::kI8);
  EXPECT_EQ(dtype("model.layers.0.mlp.gate"), DType::kF32);
  EXPECT_EQ(dtype("model.layers.0.mlp.shared_expert_gate"), DType::kF32);
  EXPECT_TRUE(file->tensors().contains("model.layers.2.mlp.experts.5.down_proj.weight_scale"));
}

TEST_F(MixtureExport, ExpertsInOneTensorAreRefused) {
  for (const char* name : {"mixtral_packed", "gpt_oss"}) {
    const Model model = written(read_golden(name));
    try {
      export_compressed_tensors(model, method_named("per-token"), nullptr, folder_ / "out");
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
      EXPECT_THAT(error.what(), AllOf(HasSubstr("all experts of a layer in one tensor"), HasSubstr(name)));
    }
    EXPECT_FALSE(fs::exists(folder_ / "out"));
  }
}

}  // namespace
}  // namespace defectoscope
