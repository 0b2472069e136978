#include "quantize/skip_layers.h"

#include <algorithm>

#include "analysis/scan_result.h"

namespace defectoscope {

std::vector<Index> found_layers(const ScanResult& scan) {
  std::vector<Index> layers = layer_numbers(scan.explosion_layers);
  const std::vector<Index> decay = layer_numbers(scan.decay_layers);
  layers.insert(layers.end(), decay.begin(), decay.end());
  std::ranges::sort(layers);
  layers.erase(std::ranges::unique(layers).begin(), layers.end());
  return layers;
}

}  // namespace defectoscope
