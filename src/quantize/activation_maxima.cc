#include "quantize/activation_maxima.h"

#include <algorithm>

#include "base/error.h"
#include "base/progress.h"
#include "kernels/quantize.h"

namespace defectoscope {
namespace {

/// A dense Linear that keeps its inputs' maxima.
class RecordingLinear final : public Linear {
 public:
  RecordingLinear(std::unique_ptr<Linear> dense, std::vector<float>& maxima)
      : dense_(std::move(dense)), maxima_(maxima) {}

  void apply(ConstMatrixView x, MatrixView y) const override {
    maxima_.resize(static_cast<std::size_t>(x.cols()));
    raise_column_maxima(x, maxima_);
    dense_->apply(x, y);
  }

 private:
  std::unique_ptr<Linear> dense_;
  std::vector<float>& maxima_;
};

}  // namespace

const std::vector<float>* ActivationMaxima::find(ModuleId id) const {
  const auto found = channels_.find(input_of(id));
  return found == channels_.end() || found->second.empty() ? nullptr : &found->second;
}

float ActivationMaxima::largest(ModuleId id) const { return max_abs(of(id)); }

ModuleId ActivationMaxima::input_of(ModuleId id) {
  if (id.module == Module::kKey || id.module == Module::kValue) return {id.layer_index, Module::kQuery};
  if (id.module == Module::kGate) return {id.layer_index, Module::kUp};
  return id;
}

TransformerOptions recording_options(ActivationMaxima& maxima, ComputeType compute) {
  return {.compute = compute,
          .linear = [&maxima, compute](Index layer_index, Module module,
                                       const LinearWeights& weights) -> std::unique_ptr<Linear> {
            auto dense = make_dense_linear(weights, compute);
            const ModuleId id{layer_index, module};
            if (module == Module::kLmHead || ActivationMaxima::input_of(id) != id) return dense;
            return std::make_unique<RecordingLinear>(std::move(dense), maxima.entry(id));
          }};
}

ActivationMaxima calibrate(const Model& model, std::span<const std::int32_t> tokens, WindowOptions options,
                           ComputeType compute) {
  check_quantizable(model);
  const auto count = static_cast<Index>(tokens.size());
  if (count < kFewestCalibrationTokens)
    throw_bad_input({.what = "the calibration text is too short to give the inputs' ranges",
                     .expected = std::to_string(kFewestCalibrationTokens) + " tokens at least",
                     .got = std::to_string(count) + (count == 1 ? " token" : " tokens"),
                     .hint = "give a text like the one the model will read; a few thousand tokens do"});
  options.window = std::min(options.window, count);
  options.stride = 0;
  const TextWindows text(model, tokens, options);
  ActivationMaxima maxima;
  const Transformer transformer(model, recording_options(maxima, compute));
  Progress progress("Calibrating", text.count());
  for (Index first = 0; first < text.count(); first += text.per_pass()) {
    const Index last = std::min(first + text.per_pass(), text.count());
    transformer.final_states(text.batch(first, last));
    progress.advance(last - first);
  }
  return maxima;
}

}  // namespace defectoscope
