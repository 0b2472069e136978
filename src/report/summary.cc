#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "quantize/skip_layers.h"
#include "report/scan_report.h"

namespace defectoscope {
namespace {

/// "layer 2 (model.layers.1)" would need the family's names; the 0-based number is what code uses.
std::string layer_name(Index layer) { return fmt::format("layer {} (index {} in code)", layer, layer - 1); }

std::string list(const std::vector<FoundLayer>& layers) {
  std::string text;
  for (const FoundLayer& found : layers)
    text += fmt::format("{}{}, confidence {:.2f}", text.empty() ? "" : "; ", layer_name(found.layer),
                        found.confidence);
  return text;
}

const LayerReport* report_of(const ScanResult& r, Index layer) {
  const auto at = std::find_if(r.layer_reports.begin(), r.layer_reports.end(),
                               [&](const LayerReport& report) { return report.layer == layer; });
  return at == r.layer_reports.end() ? nullptr : &*at;
}

std::string angle(const std::optional<double>& degrees) {
  return degrees ? fmt::format("{:.1f}°", *degrees) : std::string("none");
}

std::string spike_sentence(const ScanResult& r) {
  double peak = 0;
  for (const SpikeToken& token : r.high_norm.tokens) peak = std::max(peak, token.peak_norm);
  return fmt::format(
      "  Their norm reaches {:.4g}; the median of them peaks at {:.0f} times the ordinary token.\n", peak,
      r.high_norm.median_ratio);
}

std::string tokens_line(const ScanResult& r) {
  std::string initial, other;
  Index initial_kinds = 0;
  for (const SpikeToken& token : r.high_norm.tokens) {
    if (token.initial && ++initial_kinds <= 6)
      initial += fmt::format("{}{}", initial.empty() ? "" : "  ", token.token);
    if (token.non_initial) other += fmt::format("{}{}", other.empty() ? "" : "  ", token.token);
  }
  std::string text;
  if (initial_kinds > 0)
    text += fmt::format("  First position: {} {} high there{}: {}\n", initial_kinds,
                        initial_kinds == 1 ? "token is" : "different tokens are",
                        initial_kinds > 6 ? ", such as" : "", initial);
  text += other.empty() ? "  Elsewhere: no token is high away from the first position.\n"
                        : fmt::format("  Elsewhere: {}\n", other);
  return text;
}

}  // namespace

std::string scan_summary(const ScanResult& r, const std::string& out) {
  std::string text =
      fmt::format("{}: {}, {} layers, width {}, {:.4g} M parameters, {}\n", r.model_name, r.model_type,
                  r.layers, r.hidden_size, static_cast<double>(r.parameters) / 1e6, r.dtype);
  text += fmt::format("Calibration: {} ({} rows, {} tokens{})\n\n", r.calibration.source,
                      r.calibration.rows_used, r.calibration.tokens,
                      r.calibration.settled_early ? ", stopped early: the direction had settled" : "");
  if (r.high_norm.count == 0) {
    text += "No high-norm tokens: no token's hidden state stands out from the others in any layer.\n";
    text += "For quantization: no layer needs special treatment on their account.\n";
  } else {
    text += fmt::format(
        "High-norm tokens: {} hidden states above {:.4g}{}\n", r.high_norm.count, r.high_norm.threshold,
        r.high_norm.threshold_given
            ? " (threshold given)"
            : fmt::format(" (threshold found, confidence {:.2f})", r.high_norm.threshold_confidence));
    text += tokens_line(r);
    if (r.high_norm.count > 1)
      text += fmt::format("  They share one direction: mean pairwise angle {:.2f}°.\n",
                          r.high_norm.mean_pairwise_angle_degrees);
    text += "\n";
    if (r.explosion_layers.empty()) {
      text += "Explosion: none.\n";
    } else {
      text += fmt::format("Explosion: {}\n", list(r.explosion_layers)) + spike_sentence(r);
      for (const FoundLayer& found : r.explosion_layers)
        if (const LayerReport* layer = report_of(r, found.layer))
          text += fmt::format(
              "  Layer {}: the weights alone (left singular vector) predict the direction within {}; its FFN "
              "alone within {}.\n",
              found.layer, angle(layer->left_angle_degrees), angle(layer->ffn_left_angle_degrees));
    }
    if (r.decay_layers.empty()) {
      text += "Decay: none.\n";
    } else {
      text += fmt::format("Decay: {}\n", list(r.decay_layers));
      for (const FoundLayer& found : r.decay_layers)
        if (const LayerReport* layer = report_of(r, found.layer)) {
          text += fmt::format("  Layer {}:", found.layer);
          if (layer->decay_ratio)
            text +=
                fmt::format(" the real layer changes them by {:.2f} of themselves (-1 removes them fully);",
                            *layer->decay_ratio);
          if (layer->eigenvalue)
            text += fmt::format(" eigenvalue {:.3g} at {}{}.", layer->eigenvalue->real(),
                                angle(layer->eigenvector_angle_degrees),
                                layer->eigenpair_certified ? ", certified" : "");
          text += "\n";
        }
    }
    const std::vector<Index> skip = found_layers(r);
    if (!skip.empty())
      text += fmt::format(
          "\nFor quantization: keep the FFN down projection of layer{} {} in 16 bit (the paper's skip "
          "set); with 8-bit activations the\ninputs of these matrices carry the outliers.\n",
          skip.size() == 1 ? "" : "s", fmt::join(skip, ", "));
  }
  if (!r.layer_reports.empty()) {
    const auto weakest =
        std::min_element(r.layer_reports.begin(), r.layer_reports.end(), [](const auto& a, const auto& b) {
          return a.linear_variance_explained < b.linear_variance_explained;
        });
    text += fmt::format(
        "\nTrust: the linear form explains {:.0f} % of the least linear FFN's variance (layer {}), with the "
        "quadratic term "
        "{:.0f} %.\n",
        100 * weakest->linear_variance_explained, weakest->layer,
        100 * (weakest->linear_variance_explained + weakest->quadratic_variance_explained));
    const auto open = std::count_if(r.layer_reports.begin(), r.layer_reports.end(),
                                    [](const LayerReport& layer) { return !layer.converged; });
    if (open > 0)
      text += fmt::format(
          "Singular vectors of {} of {} layers did not reach the tolerance; results.json has their bounds.\n",
          open, r.layer_reports.size());
  }
  for (const std::string& note : r.notes) text += "Note: " + note + "\n";
  if (!out.empty())
    text += fmt::format(
        "\nReport: {}/report.html  (numbers: results.json, vectors: directions.safetensors)\n", out);
  return text;
}

}  // namespace defectoscope
