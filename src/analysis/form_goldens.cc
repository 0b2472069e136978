#include "analysis/form_goldens.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "checkpoint/safetensors.h"
#include "linearize/layer_parts.h"
#include "linearize/mixture.h"

namespace defectoscope {
namespace {

constexpr double kSamples = 20000, kRouterDraws = 4096, kSinkDraws = 256;
constexpr Index kLayers = 2;

Matrix directions(const Golden& golden, Index count, Index d) {
  Matrix w(count, d);
  for (Index k = 0; k < count; ++k)
    generate_values(golden.seed, {"direction." + std::to_string(k), {d}, 0, 0}, 0, w.row(k));
  return w;
}

/// One layer's forms beside the file's.
class FormChecker {
 public:
  FormChecker(const Golden& golden, const Model& model, const SafetensorsFile& file, Index layer,
              LinearizeOptions options, FormErrors& errors)
      : golden_(golden),
        config_(model.config()),
        file_(file),
        number_("." + std::to_string(layer)),
        weights_(model.layer(layer)),
        options_(std::move(options)),
        errors_(errors) {}

  void check() {
    if (has("sink")) {
      const LinearizedLayer whole(weights_, config_, options_);
      const std::vector<float>& shares = whole.parts().head_shares;
      means({shares.begin(), shares.end()}, "sink", kSinkDraws);
      weights_.attention.sinks.clear();
    }
    const LinearizedLayer layer(weights_, config_, options_);
    attention(layer);
    if (weights_.experts.defined())
      experts();
    else
      ffn(layer, "F" + number_, 1);
    if (has("size")) {
      const Matrix size = rows("size" + number_);
      const double ours = std::sqrt(static_cast<double>(config_.hidden_size)) /
                          static_cast<double>(layer.parts().ffn_out.scale);
      deviate(ours, size(0, 0), size(0, 1));
    }
  }

 private:
  bool has(const std::string& stem) const { return file_.tensors().contains(stem + number_); }

  Matrix rows(const std::string& name) const {
    const Tensor& tensor = file_.tensors().at(name);
    const std::vector<float> values = to_f32(tensor);
    const Index count = tensor.shape.size() == 1 ? 1 : tensor.shape[0];
    Matrix matrix(count, tensor.shape.back());
    std::ranges::copy(values, matrix.data());
    return matrix;
  }

  void deviate(double ours, float theirs, double error) {
    errors_.deviations.push_back((ours - static_cast<double>(theirs)) / error);
  }

  /// Ours is a mean over `draws` samples, theirs over kSamples.
  void means(const std::vector<double>& ours, const std::string& stem, double draws) {
    const Matrix theirs = rows(stem + number_);
    ASSERT_EQ(std::ssize(ours), theirs.cols());
    for (Index i = 0; i < theirs.cols(); ++i)
      deviate(ours[static_cast<std::size_t>(i)], theirs(0, i),
              static_cast<double>(theirs(1, i)) * std::sqrt(1 + kSamples / draws));
  }

  void attention(const LinearizedLayer& layer) {
    const Matrix theirs = rows("A" + number_);
    const Matrix w = directions(golden_, theirs.rows(), config_.hidden_size);
    Matrix ours(theirs.rows(), theirs.cols());
    layer.form(LinearForm::kAttention).apply(w, ours);
    for (Index k = 0; k < theirs.rows(); ++k)
      errors_.attention = std::max(
          errors_.attention, relative_error(ours.view().block_rows(k, 1), theirs.view().block_rows(k, 1)));
  }

  void ffn(const LinearizedLayer& layer, const std::string& name, double share) {
    const Matrix theirs = rows(name), error = rows(name + ".error");
    Matrix w = directions(golden_, theirs.rows(), config_.hidden_size);
    layer.parts().between.apply(w);
    Matrix ours(theirs.rows(), theirs.cols());
    layer.form(LinearForm::kFfn).apply(w, ours);
    // An output norm's own factor is held to `size`.
    if (has("size")) share *= static_cast<double>(layer.parts().ffn_out.scale);
    for (Index k = 0; k < theirs.rows(); ++k)
      for (Index i = 0; i < theirs.cols(); ++i)
        deviate(static_cast<double>(ours(k, i)) / share, theirs(k, i), static_cast<double>(error(k, i)));
  }

  void experts() {
    const std::string stem = "F" + number_;
    for (const Index expert : {0, 1}) {
      LinearizeOptions options = options_;
      options.expert = expert;
      const LinearizedLayer one(weights_, config_, options);
      ffn(one, stem + ".e" + std::to_string(expert), 1);
    }
    const ExpertShares shares =
        expert_shares(weights_.experts, config_, ffn_input(weights_, config_, options_.covariance));
    means(shares.experts, "share", kRouterDraws);
    if (!weights_.experts.shared.up.weight.defined()) return;
    LinearizeOptions options = options_;
    options.expert_weights.assign(shares.experts.size(), 0.0);
    const LinearizedLayer shared(weights_, config_, options);
    ffn(shared, stem + ".shared", shares.shared);
    if (has("switch")) means({shares.shared}, "switch", kRouterDraws);
  }

  const Golden& golden_;
  const ModelConfig& config_;
  const SafetensorsFile& file_;
  std::string number_;
  LayerWeights weights_;
  LinearizeOptions options_;
  FormErrors& errors_;
};

}  // namespace

double FormErrors::largest() const {
  double largest = 0;
  for (const double deviation : deviations) largest = std::max(largest, std::abs(deviation));
  return largest;
}

double FormErrors::mean_square() const {
  double sum = 0;
  for (const double deviation : deviations) sum += deviation * deviation;
  return sum / static_cast<double>(deviations.size());
}

std::vector<std::string> golden_names() {
  std::vector<std::string> names;
  for (const auto& entry :
       std::filesystem::directory_iterator(DEFECTOSCOPE_SOURCE_DIR "/src/forward/testdata"))
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem());
  std::ranges::sort(names);
  return names;
}

FormErrors form_errors(const Golden& golden, const Model& model, const LinearizeOptions& options) {
  const auto file =
      SafetensorsFile::open(std::filesystem::path(DEFECTOSCOPE_SOURCE_DIR "/src/linearize/testdata/forms") /
                            (golden.name + ".safetensors"));
  FormErrors errors;
  for (Index layer = 0; layer < kLayers; ++layer)
    FormChecker(golden, model, *file, layer, options, errors).check();
  return errors;
}

}  // namespace defectoscope
