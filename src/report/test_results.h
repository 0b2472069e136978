#pragma once

#include <limits>

#include "analysis/scan_result.h"

namespace defectoscope {

/// For tests: a scan's result made by hand, with names that must be escaped.
inline ScanResult example() {
  ScanResult r;
  r.model_name = "example</script>";
  r.family = "llama";
  r.model_type = "llama";
  r.fingerprint = std::string(64, 'a');
  r.layers = 3;
  r.hidden_size = 2;
  r.parameters = 1000;
  r.dtype = "bf16";
  r.compute = "f32";
  r.instruction_set = "AVX2";
  r.linearization = "closed form";
  r.landscape = {{"<s>", "▁The", "\\n"}, {{1, 1, 1}, {50, 1, 50}, {50, 1.5, 50}, {2, 2, 2}}};
  for (Index layer = 0; layer <= 3; ++layer) r.norms.push_back({layer, 1, 2, 3, 50, 40});
  r.calibration = {"text.txt", std::string(64, 'b'), 10, 5, 100, false};
  r.high_norm.threshold = 20;
  r.high_norm.count = 12;
  r.high_norm.mean_pairwise_angle_degrees = 1.5;
  r.high_norm.median_ratio = 50;
  r.high_norm.direction = {1, 0};
  SpikeToken token;
  token.id = 1;
  token.token = "<s>";
  token.initial = true;
  token.peak_norm = 50;
  r.high_norm.tokens = {token};
  r.explosion_layers = {{1, 0.95, 50, true, true}};
  r.decay_layers = {{3, 0.9, 0.04, true, true}};
  for (Index layer = 1; layer <= 3; ++layer) {
    LayerReport report;
    report.layer = layer;
    report.left_angle_degrees = 30.0 * static_cast<double>(layer) - 25;
    report.singular_values = {3, 1};
    report.left = {1, 0};
    report.right = {0, 1};
    report.eigenvalue = {-7.0, 0.0};
    report.eigenvector_angle_degrees = 5;
    r.layer_reports.push_back(report);
  }
  return r;
}

/// The same of a model without high norms.
inline ScanResult nothing_found() {
  ScanResult r = example();
  r.high_norm = {};
  r.explosion_layers.clear();
  r.decay_layers.clear();
  for (LayerReport& layer : r.layer_reports) {
    layer.left_angle_degrees.reset();
    layer.eigenvalue.reset();
    layer.residual = std::numeric_limits<double>::quiet_NaN();
  }
  return r;
}

}  // namespace defectoscope
