#include "checkpoint/safetensors.h"
#include "report/scan_report.h"

namespace defectoscope {
namespace {

void add(std::vector<Tensor>& tensors, std::string name, const std::vector<float>& values) {
  if (values.empty()) return;
  tensors.push_back({std::move(name),
                     DType::kF32,
                     {static_cast<Index>(values.size())},
                     reinterpret_cast<const std::byte*>(values.data()),
                     nullptr});
}

}  // namespace

void write_directions(const ScanResult& result, const std::filesystem::path& path) {
  std::vector<Tensor> tensors;
  add(tensors, "empirical", result.high_norm.direction);
  for (const LayerReport& layer : result.layer_reports) {
    const std::string number = std::to_string(layer.layer);
    add(tensors, "left." + number, layer.left);
    add(tensors, "right." + number, layer.right);
    add(tensors, "ffn_left." + number, layer.ffn_left);
  }
  write_safetensors(path, tensors,
                    {{"schema", "defectoscope.directions/1"},
                     {"model", result.model_name},
                     {"fingerprint", result.fingerprint}});
}

}  // namespace defectoscope
