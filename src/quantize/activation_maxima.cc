#include "quantize/activation_maxima.h"

#include <fmt/format.h>

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

  void apply_at(ConstMatrixView x, std::span<const Index> places, MatrixView y) const override {
    maxima_.resize(static_cast<std::size_t>(x.cols()));
    raise_column_maxima(x, maxima_);
    dense_->apply_at(x, places, y);
  }

 private:
  std::unique_ptr<Linear> dense_;
  std::vector<float>& maxima_;
};

/// Of the matmuls that read the same input one is enough. MLA has a query only where it has no latent of it.
bool records(Module module) {
  switch (module) {
    case Module::kQuery:
    case Module::kKeyValueLatent:
    case Module::kQueryExpand:
    case Module::kKeyExpand:
    case Module::kAttentionOutput:
    case Module::kUp:
    case Module::kDown:
      return true;
    default:
      return false;
  }
}

}  // namespace

const std::vector<float>* ActivationMaxima::find(ModuleId id) const {
  const auto found = channels_.find(input_of(id));
  return found == channels_.end() || found->second.empty() ? nullptr : &found->second;
}

float ActivationMaxima::largest(ModuleId id) const {
  if (id.expert == ModuleId::kNoExpert || find(id) != nullptr) return max_abs(of(id));
  float most = 0;
  for (auto other = channels_.lower_bound({id.layer_index, id.module, 0});
       other != channels_.end() &&
       other->first < ModuleId{id.layer_index, id.module, ModuleId::kSharedExpert};
       ++other)
    most = std::max(most, max_abs(other->second));
  return most;
}

void ActivationMaxima::write(RecordWriter& record) const {
  record.value(channels_.size());
  for (const auto& [id, maxima] : channels_) {
    record.value(id);
    record.list(maxima);
  }
}

void ActivationMaxima::read(RecordReader& record) {
  for (auto count = record.value<std::size_t>(); count > 0; --count) {
    const auto id = record.value<ModuleId>();
    channels_[id] = record.list<float>();
  }
}

ModuleId ActivationMaxima::input_of(ModuleId id) {
  switch (id.module) {
    case Module::kKey:
    case Module::kValue:
    case Module::kQueryLatent:
    case Module::kKeyValueLatent:
    case Module::kKeyPosition:
      return {id.layer_index, Module::kQuery};
    case Module::kGate:
    case Module::kUp:
      return {id.layer_index, Module::kUp};
    case Module::kValueExpand:
      return {id.layer_index, Module::kKeyExpand};
    default:
      return id;
  }
}

Index unmet_experts(const Model& model, const ActivationMaxima& maxima) {
  return std::ranges::count_if(quantizable_modules(model), [&](ModuleId id) {
    return id.module == Module::kDown && id.expert != ModuleId::kNoExpert && maxima.find(id) == nullptr;
  });
}

std::string unmet_experts_note(const Model& model, const ActivationMaxima& maxima) {
  const Index count = unmet_experts(model, maxima);
  if (count == 0) return {};
  return fmt::format(
      "no token of the calibration text reached {} of the model's experts: their inputs' ranges are those of "
      "the other experts of their layers",
      count);
}

TransformerOptions recording_options(ActivationMaxima& maxima, ComputeType compute) {
  return {.compute = compute,
          .linear = [&maxima, compute](ModuleId id, const LinearWeights& weights) -> std::unique_ptr<Linear> {
            auto dense = make_dense_linear(weights, compute);
            if (!records(id.module)) return dense;
            return std::make_unique<RecordingLinear>(std::move(dense), maxima.entry(id));
          }};
}

ActivationMaxima calibrate(const Model& model, std::span<const std::int32_t> tokens, WindowOptions options,
                           ComputeType compute) {
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
