#include "analysis/scan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "analysis/angle.h"
#include "analysis/journal.h"
#include "analysis/landscape.h"
#include "analysis/layer_record.h"
#include "base/error.h"
#include "base/files.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/test_zip.h"
#include "model/model.h"
#include "model/test_gguf_model.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {
namespace {

constexpr const char* kDefaultModel = DEFECTOSCOPE_SOURCE_DIR "/zoo/llama-base";

/// The default model, trained on real text, and short calibration rows.
class Scan : public testing::Test {
 protected:
  Scan() : model_(Model::open(kDefaultModel)), tokenizer_(open_tokenizer(kDefaultModel)) {
    folder_ = std::filesystem::path(testing::TempDir()) /
              ("scan-" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    std::filesystem::remove_all(folder_);
    options_.rows = 24;
    options_.sample_tokens = 24;
    options_.fingerprint = "known";
  }
  ~Scan() override {
    clear_interrupt();
    std::filesystem::remove_all(folder_);
  }
  ScanResult run() {
    ScanJournal journal;
    return scan(model_, *tokenizer_, options_, journal);
  }

  Model model_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::filesystem::path folder_;
  ScanOptions options_;
};

/// Everything numeric, to the last bit.
std::string bytes_of(const ScanResult& result) {
  RecordWriter record;
  for (const auto& norms : result.landscape.norms) record.list(norms);
  for (const LayerNorms& norms : result.norms) record.value(norms);
  const HighNorm& high = result.high_norm;
  record.value(high.threshold);
  record.value(high.threshold_confidence);
  record.value(high.count);
  record.value(high.mean_pairwise_angle_degrees);
  record.list(high.direction);
  for (const SpikeToken& token : high.tokens) {
    record.value(token.id);
    record.value(token.count);
    record.list(token.norm_by_layer);
    record.list(token.attention_share_by_layer);
  }
  for (const auto* layers : {&result.explosion_layers, &result.decay_layers})
    for (const FoundLayer& layer : *layers) {
      record.value(layer.layer);
      record.value(layer.confidence);
    }
  std::string bytes = record.bytes();
  for (const LayerReport& report : result.layer_reports) bytes += to_record(report);
  return bytes;
}

TEST_F(Scan, IsTheSameToTheLastBitAtAnyThreadCount) {
  const int before = thread_count();
  set_thread_count(1);
  const std::string alone = bytes_of(run());
  for (const int threads : {2, 4}) {
    set_thread_count(threads);
    EXPECT_EQ(bytes_of(run()), alone) << threads;
  }
  set_thread_count(before);
}

/// The checkpoint's tensors rounded to f16.
std::vector<Tensor> in_f16(const Checkpoint& checkpoint) {
  std::vector<Tensor> tensors;
  for (const std::string& name : checkpoint.names()) {
    Tensor tensor = *checkpoint.find(name);
    const std::vector<float> values = to_f32(tensor);
    const auto halves = std::make_shared<std::vector<_Float16>>(values.begin(), values.end());
    tensor.dtype = DType::kF16;
    tensor.data = reinterpret_cast<const std::byte*>(halves->data());
    tensor.owner = halves;
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

/// As torch.save writes them.
std::string as_pytorch_bin(const std::vector<Tensor>& tensors) {
  using namespace testing_zip;
  std::vector<ZipMember> members{{"m/data.pkl", ""}, {"m/version", "3\n"}};
  std::string pickle = "\x80\x02}(";
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const Tensor& one = tensors[i];
    std::vector<std::int64_t> strides(one.shape.size(), 1);
    for (std::size_t k = strides.size() - 1; k > 0; --k) strides[k - 1] = strides[k] * one.shape[k];
    std::string value =
        tensor(one.elements(), 0, {one.shape.begin(), one.shape.end()}, strides, "HalfStorage");
    value.replace(value.find(unicode("0")), unicode("0").size(), unicode(std::to_string(i)));
    pickle += unicode(one.name) + value;
    members.push_back({"m/data/" + std::to_string(i), std::string(reinterpret_cast<const char*>(one.data),
                                                                  static_cast<std::size_t>(one.bytes()))});
  }
  members[0].data = pickle + "u.";
  return make_zip(members).bytes;
}

TEST_F(Scan, IsTheSameToTheLastBitFromSafetensorsBinAndGguf) {
  const std::vector<Tensor> tensors = in_f16(model_.checkpoint());
  for (const char* folder : {"safetensors", "bin"}) {
    make_folder(folder_ / folder);
    std::filesystem::copy_file(std::filesystem::path(kDefaultModel) / "config.json",
                               folder_ / folder / "config.json");
  }
  write_safetensors(folder_ / "safetensors" / "model.safetensors", tensors);
  write_file(folder_ / "bin" / "pytorch_model.bin", as_pytorch_bin(tensors));
  const Model safetensors = Model::open(folder_ / "safetensors");
  write_file(folder_ / "model.gguf",
             testing_models::gguf_of(safetensors.config(), safetensors.checkpoint()).bytes());
  const auto scanned = [&](const Model& model) {
    ScanJournal journal;
    return bytes_of(scan(model, *tokenizer_, options_, journal));
  };
  const std::string expected = scanned(safetensors);
  EXPECT_EQ(scanned(Model::open(folder_ / "bin")), expected);
  EXPECT_EQ(scanned(Model::open(folder_ / "model.gguf")), expected);
}

TEST_F(Scan, AnswersEveryQuestionForEveryLayer) {
  const ScanResult result = run();
  ASSERT_GT(result.high_norm.count, 0) << "the default model has high-norm tokens";
  EXPECT_EQ(std::ssize(result.landscape.norms), result.layers + 1);
  EXPECT_EQ(result.landscape.norms[0].size(), result.landscape.tokens.size());
  EXPECT_EQ(std::ssize(result.norms), result.layers + 1);
  EXPECT_EQ(std::ssize(result.high_norm.direction), result.hidden_size);
  ASSERT_EQ(std::ssize(result.layer_reports), result.layers);
  for (const LayerReport& layer : result.layer_reports) {
    ASSERT_TRUE(layer.left_angle_degrees && layer.ffn_left_angle_degrees && layer.rayleigh);
    EXPECT_GE(*layer.left_angle_degrees, 0);
    EXPECT_LE(*layer.left_angle_degrees, 90);
    EXPECT_EQ(layer.singular_values.size(), 2U);
    EXPECT_GT(layer.linear_variance_explained, 0);
    EXPECT_LE(layer.linear_variance_explained + layer.quadratic_variance_explained, 1 + 1e-9);
    double along = 0;
    for (std::size_t i = 0; i < layer.left.size(); ++i)
      along += layer.left[i] * result.high_norm.direction[i];
    EXPECT_GE(along, 0) << "signs are fixed by the empirical direction";
  }
  for (const SpikeToken& token : result.high_norm.tokens) {
    EXPECT_LE(token.count, token.occurrences);
    EXPECT_GT(token.peak_norm, result.high_norm.threshold);
    EXPECT_EQ(std::ssize(token.attention_share_by_layer), result.layers);
  }
}

TEST_F(Scan, WithoutLapackAgreesWithItOnEveryLayer) {
  const ScanResult krylov = run();
  options_.exact = true;
  const ScanResult exact = run();
  ASSERT_EQ(krylov.layer_reports.size(), exact.layer_reports.size());
  for (std::size_t i = 0; i < exact.layer_reports.size(); ++i) {
    const LayerReport &a = krylov.layer_reports[i], &b = exact.layer_reports[i];
    EXPECT_NEAR(a.singular_values[0], b.singular_values[0], 1e-4 * b.singular_values[0]);
    const double angle = acute_angle_degrees(a.left, b.left);
    EXPECT_LE(angle, a.angle_bound_degrees + b.angle_bound_degrees + 1e-3) << "layer " << i + 1;
    if (b.singular_values[0] / b.singular_values[1] >= 1.05) {
      EXPECT_LT(angle, 0.01) << "layer " << i + 1;
    }
    if (b.eigenpair_certified) {
      EXPECT_LE(*b.eigen_residual, 1e-4 * std::abs(*b.eigenvalue));
    }
  }
}

TEST_F(Scan, GoesOnWhereItWasStopped) {
  const std::string whole = bytes_of(run());
  {
    ScanJournal journal(folder_);
    scan(model_, *tokenizer_, options_, journal);
  }
  // As if stopped in the middle: half of the records never came.
  std::vector<std::filesystem::path> records;
  for (const auto& file : std::filesystem::directory_iterator(folder_)) records.push_back(file.path());
  std::sort(records.begin(), records.end());
  ASSERT_GT(records.size(), 4U);
  for (std::size_t i = 0; i < records.size(); i += 2) std::filesystem::remove(records[i]);
  write_file(records[1], "not a record");
  ScanJournal journal(folder_);
  EXPECT_EQ(bytes_of(scan(model_, *tokenizer_, options_, journal)), whole);
  EXPECT_TRUE(journal.resumed());
  EXPECT_EQ(journal.complaints().size(), 1U);
}

TEST_F(Scan, StopsOnAnInterruptAndCanBeRepeated) {
  ScanJournal journal(folder_);
  request_interrupt();
  try {
    scan(model_, *tokenizer_, options_, journal);
    FAIL() << "not interrupted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInterrupted);
  }
  clear_interrupt();
  EXPECT_EQ(std::ssize(scan(model_, *tokenizer_, options_, journal).layer_reports), model_.config().layers);
}

TEST_F(Scan, WithAThresholdNobodyReachesHasNoDirectionAndNoAngles) {
  options_.threshold = 1e9;
  const ScanResult result = run();
  EXPECT_EQ(result.high_norm.count, 0);
  EXPECT_TRUE(result.high_norm.direction.empty());
  EXPECT_TRUE(result.explosion_layers.empty());
  for (const LayerReport& layer : result.layer_reports) {
    EXPECT_FALSE(layer.left_angle_degrees || layer.rayleigh || layer.eigenvalue || layer.decay_ratio);
    EXPECT_GT(layer.singular_values[0], 0);
  }
}

TEST_F(Scan, CountsEveryStateAboveALowThreshold) {
  options_.threshold = 1e-3;
  options_.sample_tokens = 8;
  const ScanResult result = run();
  EXPECT_EQ(result.high_norm.count, (result.layers + 1) * result.calibration.tokens);
  EXPECT_EQ(result.high_norm.angle_states, result.high_norm.count);
}

TEST_F(Scan, ReadsATextAndSaysHowMuchOfIt) {
  make_folder(folder_);
  options_.text = folder_ / "text.txt";
  write_file(options_.text, "The first line.\n\n  The second line is longer.  \nA third.\n");
  const ScanResult result = run();
  EXPECT_EQ(result.calibration.source, "text.txt");
  EXPECT_EQ(result.calibration.rows_used, 3);
  EXPECT_GT(result.calibration.tokens, 6);
  EXPECT_FALSE(result.notes.empty()) << "fewer rows than asked for";
}

TEST_F(Scan, RefusesAnEmptyText) {
  make_folder(folder_);
  options_.text = folder_ / "text.txt";
  write_file(options_.text, " \n\n");
  EXPECT_THROW(run(), Error);
}

TEST(LayerRecord, KeepsEveryField) {
  LayerReport report;
  report.layer = 3;
  report.left_angle_degrees = 1.5;
  report.singular_values = {2, 1};
  report.eigenvalue = {-7.25, 0.5};
  report.converged = true;
  report.left = {1, 2, 3};
  report.decay_inputs = 9;
  const LayerReport back = layer_from_record(to_record(report));
  EXPECT_EQ(to_record(back), to_record(report));
  EXPECT_EQ(back.left_angle_degrees, 1.5);
  EXPECT_EQ(back.ffn_left_angle_degrees, std::nullopt);
  EXPECT_EQ(*back.eigenvalue, std::complex<double>(-7.25, 0.5));
  EXPECT_EQ(back.left, report.left);
  EXPECT_THROW(layer_from_record(to_record(report).substr(5)), std::out_of_range);
}

TEST(Angle, IsAcuteAndAccurateNearZero) {
  const std::vector<float> x = {1, 0}, y = {-1, 1e-5f}, z = {0, 2};
  EXPECT_NEAR(acute_angle_degrees(x, y), 1e-5 * 180 / 3.14159265358979, 1e-10);
  EXPECT_NEAR(acute_angle_degrees(x, z), 90, 1e-12);
  EXPECT_EQ(acute_angle_degrees(x, std::vector<float>{0, 0}), 90);
}

}  // namespace
}  // namespace defectoscope
