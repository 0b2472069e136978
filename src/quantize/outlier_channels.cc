#include "quantize/outlier_channels.h"

#include <algorithm>

namespace defectoscope {
namespace {

constexpr std::size_t kMostNamed = 8;

std::string input_name(Module module) {
  switch (module) {
    case Module::kAttentionOutput:
      return "attention out";
    case Module::kGate:
    case Module::kUp:
      return "FFN in";
    case Module::kDown:
      return "down in";
    default:
      return "attention in";
  }
}

OutlierChannels channels_of(ModuleId id, const std::vector<float>& maxima) {
  OutlierChannels result{
      .layer = id.layer_index + 1,
      .input = input_name(id.module),
      .channels = std::ssize(maxima),
      .outliers = {},
      .residual_channels = id.module != Module::kAttentionOutput && id.module != Module::kDown};
  std::vector<float> sorted = maxima;
  std::sort(sorted.begin(), sorted.end());
  result.max = sorted.back();
  result.median = sorted[sorted.size() / 2];
  const auto size = [&](Index channel) { return maxima[static_cast<std::size_t>(channel)]; };
  for (Index channel = 0; channel < result.channels; ++channel)
    if (size(channel) > kOutlierFactor * result.median) result.outliers.push_back(channel);
  result.outlier_count = std::ssize(result.outliers);
  std::stable_sort(result.outliers.begin(), result.outliers.end(),
                   [&](Index a, Index b) { return size(a) > size(b); });
  if (result.outliers.size() > kMostNamed) result.outliers.resize(kMostNamed);
  return result;
}

}  // namespace

std::vector<OutlierChannels> outlier_channels(const Model& model, const ActivationMaxima& maxima) {
  const ModelConfig& config = model.config();
  std::vector<OutlierChannels> results;
  for (Index layer = 0; layer < config.layers; ++layer)
    for (const Module module : {Module::kQuery, Module::kAttentionOutput, Module::kUp, Module::kDown}) {
      if (module == Module::kDown && config.experts.in_layer(layer)) continue;
      const ModuleId id{layer, module};
      if (const auto* channels = maxima.find(id)) results.push_back(channels_of(id, *channels));
    }
  return results;
}

}  // namespace defectoscope
