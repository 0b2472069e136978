#include "quantize/quantized_model.h"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/checkpoint.h"
#include "kernels/gemm_int8.h"
#include "model/tensor_plan.h"
#include "quantize/quantized_linear.h"

namespace defectoscope {
namespace {

/// max|W| of stored matrices of which a Linear sees a part.
class FusedMaxima {
 public:
  explicit FusedMaxima(const Model& model) : model_(model) {}

  /// 0 where the module's matrix is stored alone.
  float of(ModuleId id) {
    const std::vector<Module> parts = stored_together(model_, id);
    if (parts.size() == 1) return 0;
    const std::lock_guard lock(mutex_);
    const auto [place, added] = known_.try_emplace({id.layer_index, parts.front(), id.expert}, 0.0f);
    if (added) {
      const LayerWeights layer = model_.layer(id.layer_index);
      for (const Module part : parts)
        place->second =
            std::max(place->second, weight_max(weights_of(layer, {id.layer_index, part, id.expert}).weight));
    }
    return place->second;
  }

 private:
  const Model& model_;
  std::mutex mutex_;
  std::map<ModuleId, float> known_;  ///< by the first of the parts
};

}  // namespace

TransformerOptions quantized(const Model& model, const QuantizedModelOptions& options) {
  check_scheme(options.scheme);
  if (options.scheme.static_activations && options.maxima == nullptr)
    throw Error(ErrorKind::kUsage, "static activation steps need a calibration text");
  const auto fused = std::make_shared<FusedMaxima>(model);
  return {.compute = options.compute, .linear = [options, fused](ModuleId id, const LinearWeights& weights) {
            if (!is_quantizable(id.module) || options.skipped.contains(id))
              return make_dense_linear(weights, options.compute);
            QuantizedLinearOptions own{.window = options.window, .compute = options.compute};
            if (options.scheme.weights == Granularity::kTensor) own.weight_max = fused->of(id);
            if (options.scheme.static_activations) own.input_max = options.maxima->largest(id);
            return make_quantized_linear(weights, options.scheme, own);
          }};
}

void check_unquantized(const Model& model) {
  const auto refuse = [&](const std::string& tensor, const std::string& got) {
    throw_bad_input({.what = "the checkpoint is quantized already",
                     .file = model.folder().string(),
                     .tensor = tensor,
                     .expected = "weights in f32, f16 or bf16",
                     .got = got,
                     .hint = "take the model's unquantized version"});
  };
  const std::filesystem::path config = model.folder() / "config.json";
  std::error_code none;
  if (std::filesystem::is_regular_file(config, none) &&
      read_file(config).find("\"quantization_config\"") != std::string::npos)
    refuse("config.json", "a quantization_config");
  const std::string_view prefix = find_prefix(*model.config().architecture, model.checkpoint());
  for (const TensorSlot& slot : tensor_plan(model.config(), prefix, model.checkpoint())) {
    if (slot.shape.size() < 2) continue;
    const std::string& name = slot.name;
    const auto stored = model.checkpoint().stored(name);
    if (stored && stored->format != "f32" && stored->format != "f16" && stored->format != "bf16")
      refuse(name, stored->format);
  }
}

Index model_bytes(const Model& model) {
  Index bytes = 0;
  for (const std::string& name : model.checkpoint().names())
    if (const auto tensor = model.checkpoint().describe(name)) bytes += tensor->bytes();
  return bytes;
}

Index model_bytes(const Model& model, const QuantScheme& scheme, const ModuleSet& skipped) {
  Index bytes = model_bytes(model);
  Index layer_index = -1;
  LayerWeights layer;
  for (const ModuleId id : quantizable_modules(model)) {
    if (skipped.contains(id)) continue;
    if (id.layer_index != layer_index) layer = model.layer(layer_index = id.layer_index);
    const WeightMatrix& weight = weights_of(layer, id).weight;
    const Index stored = dtype_size(weight.dtype);
    bytes += quantized_bytes(scheme, weight.rows, weight.cols, stored) - weight.rows * weight.cols * stored;
  }
  return bytes;
}

}  // namespace defectoscope
