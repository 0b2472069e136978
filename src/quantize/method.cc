#include "quantize/method.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"

namespace defectoscope {
namespace {

const std::vector<std::pair<std::string, QuantMethod>>& methods() {
  static const std::vector<std::pair<std::string, QuantMethod>> kMethods = {
      {"none", {.name = "none", .quantizes = false, .scheme = {}, .skipped = {}}},
      {"rtn", {.name = "RTN", .scheme = rtn_scheme(), .skipped = {}}},
      {"smoothquant", {.name = "SmoothQuant", .scheme = rtn_scheme(), .smooth = true, .skipped = {}}},
      {"llm-int8", {.name = "LLM.int8()", .scheme = llm_int8_scheme(), .skipped = {}}},
      {"per-token", {.name = "per token", .scheme = per_token_scheme(), .skipped = {}}},
      {"fp8", {.name = "FP8 e4m3", .scheme = fp8_scheme(), .skipped = {}}}};
  return kMethods;
}

}  // namespace

std::vector<std::string> method_names() {
  std::vector<std::string> names;
  for (const auto& [name, method] : methods()) names.push_back(name);
  return names;
}

QuantMethod method_named(const std::string& name) {
  for (const auto& [known, method] : methods())
    if (known == name) return method;
  throw Error(ErrorKind::kUsage, fmt::format("no quantization method is called '{}'; there are: {}", name,
                                             fmt::join(method_names(), ", ")));
}

QuantizedModel::QuantizedModel(const Model& model, const QuantMethod& method, const ActivationMaxima* maxima,
                               Index window, ComputeType compute) {
  if (!method.quantizes) {
    transformer_ = std::make_unique<Transformer>(model, TransformerOptions{.compute = compute, .linear = {}});
    bytes_ = model_bytes(model);
    return;
  }
  QuantizedModelOptions options{.scheme = method.scheme,
                                .skipped = method.skipped,
                                .maxima = maxima,
                                .window = window,
                                .compute = compute};
  bytes_ = model_bytes(model, method.scheme, method.skipped);
  const Model* used = &model;
  if (method.smooth) {
    if (maxima == nullptr) throw Error(ErrorKind::kUsage, "SmoothQuant needs a calibration text");
    smoothed_ = smooth(model, *maxima, method.alpha);
    smoothed_maxima_ = smoothed_maxima(*maxima, smoothed_.groups);
    options.maxima = &smoothed_maxima_;
    used = smoothed_.model.get();
  }
  notes_ = smoothed_.notes;
  if (method.scheme.static_activations && maxima != nullptr)
    if (std::string note = unmet_experts_note(model, *maxima); !note.empty())
      notes_.push_back(std::move(note));
  transformer_ = std::make_unique<Transformer>(*used, quantized(*used, options));
}

}  // namespace defectoscope
