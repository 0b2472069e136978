#include "synthesis/phantom.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "checkpoint/checkpoint.h"
#include "model/model.h"
#include "synthesis/memory_model.h"
#include "synthesis/random_model.h"

namespace defectoscope {
namespace {

using ::testing::HasSubstr;

class PhantomFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    root_ = std::filesystem::path(::testing::TempDir()) /
            (std::string("phantom_") + test->name() + std::to_string(::getpid()));
    std::filesystem::remove_all(root_);
    make_folder(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  /// The smallest shape that is allowed.
  static PhantomOptions small(PhantomForm form = PhantomForm::kLlama) {
    PhantomOptions options;
    options.shape = {
        "small", form, 192, 4, 4, 4, 48, 768, 512, 128, DType::kBF16, form == PhantomForm::kGpt2};
    options.seed = 3;
    return options;
  }
  static std::size_t entries(const std::filesystem::path& folder) {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator()));
  }

  std::filesystem::path root_;
};

TEST_F(PhantomFolder, OpensAsAModelOfItsShape) {
  for (const PhantomForm form : {PhantomForm::kLlama, PhantomForm::kGpt2}) {
    const PhantomOptions options = small(form);
    const std::filesystem::path folder = root_ / (form == PhantomForm::kLlama ? "llama" : "gpt2");
    write_phantom(options, folder);
    const Model model = Model::open(folder);
    EXPECT_EQ(model.config().hidden_size, 192);
    EXPECT_EQ(model.config().layers, 4);
    EXPECT_EQ(model.config().head_dim, 48);
    Index parameters = 0;
    for (const std::string& name : model.checkpoint().names()) {
      const Tensor tensor = *model.checkpoint().find(name);
      EXPECT_EQ(tensor.dtype, DType::kBF16) << name;
      parameters += tensor.elements();
    }
    EXPECT_EQ(parameters, parameter_count(options.shape));
    for (Index layer = 0; layer < 4; ++layer) model.layer(layer);
    EXPECT_NO_THROW(model.check_finite());
  }
}

TEST_F(PhantomFolder, SameOptionsGiveTheSameBytesAtAnyThreadCount) {
  const int before = thread_count();
  for (const int threads : {1, 4}) {
    set_thread_count(threads);
    write_phantom(small(), root_ / std::to_string(threads));
  }
  set_thread_count(before);
  for (const char* file : {"model.safetensors", "tokenizer.json", "truth.json", "config.json"})
    EXPECT_EQ(read_file(root_ / "4" / file), read_file(root_ / "1" / file)) << file;
}

TEST_F(PhantomFolder, SeedsGiveOtherWeightsAndDirections) {
  PhantomOptions other = small();
  other.seed = 4;
  EXPECT_NE(phantom_truth(small()).u, phantom_truth(other).u);
  EXPECT_NE(fingerprint(phantom_in_memory(small()).model.checkpoint()),
            fingerprint(phantom_in_memory(other).model.checkpoint()));
}

TEST_F(PhantomFolder, ShardsAndMemoryHoldTheSameTensors) {
  PhantomOptions options = small();
  options.shard_bytes = 1 << 20;
  write_phantom(options, root_ / "many");
  const PhantomModel one = phantom_in_memory(options);
  EXPECT_EQ(fingerprint(one.model.checkpoint(), true), fingerprint(*open_checkpoint(root_ / "many"), true));
  const nlohmann::json index =
      nlohmann::json::parse(read_file(root_ / "many" / "model.safetensors.index.json"));
  EXPECT_EQ(index.at("weight_map").size(), one.model.checkpoint().names().size());
  EXPECT_EQ(index.at("metadata").at("total_size").get<Index>(), 2 * parameter_count(options.shape));
  EXPECT_GT(entries(root_ / "many"), 8u);
}

TEST_F(PhantomFolder, TruthSaysWhatIsPlanted) {
  PhantomOptions options = small();
  options.explosion_layers = {3};
  options.decay_layers = {4};
  const PhantomTruth truth = write_phantom(options, root_ / "phantom");
  const nlohmann::json json = nlohmann::json::parse(read_file(root_ / "phantom" / "truth.json"));
  EXPECT_EQ(json.at("schema"), "defectoscope.phantom/1");
  EXPECT_EQ(json.at("seed"), 3);
  EXPECT_EQ(json.at("variant"), "standard");
  EXPECT_EQ(json.at("explosion_layers"), nlohmann::json({3}));
  EXPECT_EQ(json.at("decay_layers"), nlohmann::json({4}));
  EXPECT_EQ(json.at("initial"), "any");
  EXPECT_EQ(json.at("u").get<std::vector<float>>(), truth.u);
  EXPECT_EQ(json.at("explosions").at(0).at("v").get<std::vector<float>>(), truth.explosions.at(0).v);
  EXPECT_EQ(json.at("spike_tokens").at(0).at("token"), ".");
  EXPECT_EQ(json.at("spike_tokens").at(1).at("token"), "\u010a");
  EXPECT_EQ(json.at("expected_high_norms").size(), 5u);
  double square = 0, product = 0;
  for (std::size_t i = 0; i < truth.u.size(); ++i) {
    square += static_cast<double>(truth.u[i] * truth.u[i]);
    product += static_cast<double>(truth.u[i] * truth.explosions.at(0).v[i]);
  }
  EXPECT_NEAR(square, 1, 1e-6);
  EXPECT_EQ(product, 0);
}

TEST_F(PhantomFolder, TokenizerHasTheVocabularyOfTheShape) {
  write_phantom(small(), root_ / "phantom");
  const nlohmann::json json = nlohmann::json::parse(read_file(root_ / "phantom" / "tokenizer.json"));
  const nlohmann::json& vocabulary = json.at("model").at("vocab");
  EXPECT_EQ(vocabulary.size(), 512u);
  for (const char* word : {"The", "\u0120quick", "\u0120brown", "\u0120fox", "\u0120jumps", "\u0120over",
                           "\u0120the", "\u0120lazy", "\u0120dog", ".", "\u010a"})
    EXPECT_TRUE(vocabulary.contains(word)) << word;
  std::vector<bool> seen(512);
  for (const auto& [token, id] : vocabulary.items()) seen.at(id.get<std::size_t>()) = true;
  EXPECT_EQ(std::count(seen.begin(), seen.end(), true), 512);
  for (const nlohmann::json& merge : json.at("model").at("merges")) {
    const std::string text = merge;
    const std::size_t space = text.find(' ');
    EXPECT_TRUE(vocabulary.contains(text.substr(0, space)) && vocabulary.contains(text.substr(space + 1)))
        << text;
  }
}

TEST_F(PhantomFolder, FolderWithFilesIsRefused) {
  write_file(root_ / "mine.txt", "precious");
  try {
    write_phantom(small(), root_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), HasSubstr("holds files"));
  }
  EXPECT_EQ(entries(root_), 1u);
}

TEST_F(PhantomFolder, FailingDiskLeavesNothingBehind) {
  // A limit on the size of files stands in for a full disk: write() fails in the middle of the second shard.
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{512 * 1024, before.rlim_max};
  PhantomOptions options = small();
  options.shard_bytes = 1 << 20;
  options.shape.vocab_size = 384;  // 147 KB: the first shard fits
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  ErrorKind kind = ErrorKind::kUsage;
  try {
    write_phantom(options, root_ / "phantom");
  } catch (const Error& error) {
    kind = error.kind();
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(kind, ErrorKind::kResources);
  EXPECT_FALSE(std::filesystem::exists(root_ / "phantom"));
}

TEST_F(PhantomFolder, InterruptLeavesNothingBehind) {
  request_interrupt();
  EXPECT_THROW(write_phantom(small(), root_ / "phantom"), Error);
  clear_interrupt();
  EXPECT_FALSE(std::filesystem::exists(root_ / "phantom"));
}

TEST_F(PhantomFolder, ModelLargerThanTheDiskIsRefusedAtOnce) {
  PhantomOptions options = small();
  options.shape = phantom_shape_named("llama2-7b");
  options.shape.layers = 500;
  options.shape.ffn_size = 1 << 20;  // 13 TB
  try {
    write_phantom(options, root_ / "phantom");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kResources);
    EXPECT_THAT(error.what(), HasSubstr("bytes free"));
  }
  EXPECT_FALSE(std::filesystem::exists(root_ / "phantom"));
}

TEST_F(PhantomFolder, RandomModelHasTheUsualInitialisation) {
  RandomModelOptions options;
  options.shape = small(PhantomForm::kGpt2).shape;
  options.shape.dtype = DType::kF32;
  write_random_model(options, root_ / "random");
  const Model model = Model::open(root_ / "random");
  const auto deviation = [](const WeightMatrix& matrix) {
    double square = 0;
    std::vector<float> row(static_cast<std::size_t>(matrix.cols));
    for (Index i = 0; i < matrix.rows; ++i) {
      matrix.copy_row(i, row);
      for (const float x : row) square += static_cast<double>(x) * static_cast<double>(x);
    }
    return std::sqrt(square / static_cast<double>(matrix.rows * matrix.cols));
  };
  EXPECT_NEAR(deviation(model.embedding()), 0.02, 2e-4);
  const LayerWeights layer = model.layer(1);
  EXPECT_NEAR(deviation(layer.ffn.up.weight), 0.02, 2e-4);
  EXPECT_NEAR(deviation(layer.ffn.down.weight), 0.02 / std::sqrt(8.0), 1e-4);
  EXPECT_EQ(layer.ffn_norm.gain, std::vector<float>(192, 1.0f));
}

TEST(PhantomShapes, NamedShapesAreValidAndOfTheirNamesSize) {
  for (const PhantomShape& shape : phantom_shapes()) {
    PhantomOptions options;
    options.shape = shape;
    EXPECT_NO_THROW(validate(options)) << shape.name;
  }
  EXPECT_EQ(parameter_count(phantom_shape_named("llama2-7b")), 6'738'415'616);
  EXPECT_EQ(parameter_count(phantom_shape_named("llama3-8b")), 8'030'261'248);
  EXPECT_EQ(parameter_count(phantom_shape_named("gpt2")), 124'439'808);
  EXPECT_EQ(parameter_count(phantom_shape_named("llama3.2-1b")), 1'235'814'400);
}

TEST(PhantomOptions, RandomOnesAreValid) {
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    const PhantomOptions options = random_phantom_options(seed);
    EXPECT_NO_THROW(validate(options)) << seed;
    EXPECT_GE(options.shape.hidden_size, 192);
    EXPECT_LE(options.shape.hidden_size, 512);
    EXPECT_GE(options.ratio, 5);
    EXPECT_LE(options.ratio, 500);
    PhantomOptions none;
    none.variant = PhantomVariant::kNone;
    none.shape = random_random_model_options(seed).shape;
    EXPECT_NO_THROW(validate(none));
  }
}

TEST(PhantomOptions, VariantsAreKnownByName) {
  for (const PhantomVariant variant : phantom_variants())
    EXPECT_EQ(variant_named(variant_name(variant)), variant);
}

struct BadOption {
  const char* message;
  void (*spoil)(PhantomOptions&);
};

class BadOptions : public ::testing::TestWithParam<BadOption> {};

TEST_P(BadOptions, AreRefusedWithTheirName) {
  PhantomOptions options;
  options.shape = phantom_shape_named("tiny");
  GetParam().spoil(options);
  try {
    validate(options);
    FAIL() << GetParam().message;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), HasSubstr(GetParam().message));
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, BadOptions,
    ::testing::Values(
        BadOption{"hidden size", [](PhantomOptions& o) { o.shape.hidden_size = 128; }},
        BadOption{"layers", [](PhantomOptions& o) { o.shape.layers = 2; }},
        BadOption{"key-value heads", [](PhantomOptions& o) { o.shape.kv_heads = 3; }},
        BadOption{"head size", [](PhantomOptions& o) { o.shape.head_dim = 33; }},
        BadOption{"GPT-2",
                  [](PhantomOptions& o) { o.shape.form = PhantomForm::kGpt2, o.shape.kv_heads = 2; }},
        BadOption{"FFN size", [](PhantomOptions& o) { o.shape.ffn_size = 100; }},
        BadOption{"vocabulary", [](PhantomOptions& o) { o.shape.vocab_size = 100; }},
        BadOption{"dtype", [](PhantomOptions& o) { o.shape.dtype = DType::kI8; }},
        BadOption{"ratio", [](PhantomOptions& o) { o.ratio = 2; }},
        BadOption{"ratio", [](PhantomOptions& o) { o.ratio = std::nan(""); }},
        BadOption{"spike tokens", [](PhantomOptions& o) { o.spike_tokens = 65; }},
        BadOption{"spike tokens",
                  [](PhantomOptions& o) { o.variant = PhantomVariant::kNonInitialOnly, o.spike_tokens = 0; }},
        BadOption{"explosion layers", [](PhantomOptions& o) { o.explosion_layers = {1}; }},
        BadOption{"explosion layers", [](PhantomOptions& o) { o.explosion_layers = {4, 3}; }},
        BadOption{"last explosion layer", [](PhantomOptions& o) { o.explosion_layers = {8}; }},
        BadOption{"decay layers", [](PhantomOptions& o) { o.decay_layers = {2}; }},
        BadOption{"decay layers", [](PhantomOptions& o) { o.decay_layers = {9}; }},
        BadOption{"decay layers of this variant",
                  [](PhantomOptions& o) { o.variant = PhantomVariant::kNoDecay, o.decay_layers = {7}; }},
        BadOption{"explosion layers of this variant", [](PhantomOptions& o) {
                    o.variant = PhantomVariant::kGradual, o.explosion_layers = {2, 3};
                  }}));

TEST(PhantomNames, UnknownOnesAreRefusedWithTheKnown) {
  for (const auto& ask : {+[] { phantom_shape_named("llama9"); }, +[] { variant_named("odd"); }}) {
    try {
      ask();
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
      EXPECT_THAT(error.what(), ::testing::AnyOf(HasSubstr("llama2-7b"), HasSubstr("gradual")));
    }
  }
}

}  // namespace
}  // namespace defectoscope
