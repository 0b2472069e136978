#include "analysis/emergence.h"

#include <fmt/format.h>

namespace defectoscope {
namespace {

std::string positions_name(PositionKind kind) {
  if (kind == PositionKind::kNone) return "none";
  if (kind == PositionKind::kLearned) return "learned";
  if (kind == PositionKind::kAlibi) return "ALiBi";
  return "rotary";
}

std::string activation_name(Activation activation) {
  switch (activation) {
    case Activation::kSilu:
      return "SiLU";
    case Activation::kGeluErf:
      return "GELU";
    case Activation::kGeluTanh:
      return "tanh-GELU";
    case Activation::kQuickGelu:
      return "quick-GELU";
    case Activation::kRelu:
      return "ReLU";
    case Activation::kRelu2:
      return "squared ReLU";
  }
  return "";
}

std::string norm_name(const ArchitectureSpec& spec) {
  std::string kind = spec.norm == NormKind::kRmsNorm ? "RMSNorm" : "LayerNorm";
  switch (spec.placement) {
    case NormPlacement::kPre:
      return kind + " before";
    case NormPlacement::kPost:
      return kind + " after the sum";
    case NormPlacement::kSandwich:
      return kind + " before and after";
    case NormPlacement::kOutput:
      return kind + " on the output";
  }
  return kind;
}

std::string sentence_of(const EmergenceRow& row, NormPlacement placement) {
  if (placement == NormPlacement::kPost && !row.has_high_norms)
    return "No high norms, and none could arise: a norm after each sum sets every state's length, whatever "
           "the "
           "mask.";
  if (!row.has_high_norms && !row.factors.causal)
    return "No high norms: without a causal mask no position is set apart by what it cannot see.";
  if (!row.has_high_norms) return "No token is special in any layer.";
  const std::string how = fmt::format("{:.1f} times the ordinary norm", row.median_ratio);
  if (!row.factors.causal)
    return fmt::format("High norms ({}) without a causal mask: tokens told apart by what they are.", how);
  if (row.factors.windowed_layers > 0)
    return fmt::format("A window of {} tokens and high norms all the same ({}).", row.factors.window, how);
  return fmt::format("High norms ({}) at {}.", how,
                     row.first_position && row.later_positions ? "first and later positions"
                     : row.first_position                      ? "the first position only"
                                                               : "later positions only");
}

}  // namespace

EmergenceFactors emergence_factors(const ModelConfig& config) {
  const ArchitectureSpec& spec = *config.architecture;
  EmergenceFactors factors;
  factors.causal = config.causal;
  for (Index layer = 0; layer < config.layers; ++layer)
    factors.windowed_layers += config.window_of(layer) > 0;
  factors.window = factors.windowed_layers > 0 ? config.sliding_window : 0;
  factors.positions = positions_name(spec.position);
  factors.ffn = (spec.ffn == FfnForm::kPlain ? "plain " : "gated ") + activation_name(config.activation);
  factors.queries_per_key = config.heads / config.kv_heads;
  factors.parallel = spec.residual != ResidualForm::kSequential;
  factors.norm = norm_name(spec);
  return factors;
}

EmergenceRow emergence_row(const ScanResult& scan, const ModelConfig& config) {
  EmergenceRow row;
  row.name = scan.model_name;
  row.family = scan.family;
  row.factors = emergence_factors(config);
  row.has_high_norms = scan.high_norm.count > 0;
  row.median_ratio = row.has_high_norms ? scan.high_norm.median_ratio : 0;
  row.first_position = scan.high_norm.initial_occurrences > 0;
  row.later_positions = scan.high_norm.non_initial_occurrences > 0;
  row.mean_pairwise_angle_degrees = scan.high_norm.mean_pairwise_angle_degrees;
  row.explosion_layers = layer_numbers(scan.explosion_layers);
  row.decay_layers = layer_numbers(scan.decay_layers);
  row.landscape = scan.landscape;
  row.sentence = sentence_of(row, config.architecture->placement);
  return row;
}

}  // namespace defectoscope
