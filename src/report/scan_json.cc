#include "report/json_values.h"
#include "report/scan_report.h"

namespace defectoscope {
namespace {

Json found_layers(const std::vector<FoundLayer>& layers) {
  Json list = Json::array();
  for (const FoundLayer& found : layers)
    list.push_back({{"layer", found.layer},
                    {"confidence", number(found.confidence)},
                    {"factor", number(found.factor)},
                    {"initial", found.initial},
                    {"non_initial", found.non_initial}});
  return list;
}

Json spike_token(const SpikeToken& token) {
  return {{"id", token.id},
          {"token", token.token},
          {"count", token.count},
          {"occurrences", token.occurrences},
          {"initial", token.initial},
          {"non_initial", token.non_initial},
          {"first_occurrence_share", number(token.first_occurrence_share)},
          {"peak_norm", number(token.peak_norm)},
          {"norm_by_layer", numbers(token.norm_by_layer)},
          {"attention_share_by_layer", numbers(token.attention_share_by_layer)}};
}

Json high_norm(const HighNorm& high) {
  const bool any = high.count > 0;
  Json tokens = Json::array();
  for (const SpikeToken& token : high.tokens) tokens.push_back(spike_token(token));
  return {{"threshold", any || high.threshold_given ? number(high.threshold) : Json(nullptr)},
          {"threshold_given", high.threshold_given},
          {"threshold_confidence", number(high.threshold_confidence)},
          {"count", high.count},
          {"mean_pairwise_angle_degrees",
           high.count > 1 ? number(high.mean_pairwise_angle_degrees) : Json(nullptr)},
          {"angle_states", high.angle_states},
          {"median_ratio", any ? number(high.median_ratio) : Json(nullptr)},
          {"initial_occurrences", high.initial_occurrences},
          {"non_initial_occurrences", high.non_initial_occurrences},
          {"tokens", std::move(tokens)}};
}

Json layer_report(const LayerReport& layer) {
  Json eigenvalue = nullptr;
  if (layer.eigenvalue)
    eigenvalue = {{"re", number(layer.eigenvalue->real())}, {"im", number(layer.eigenvalue->imag())}};
  return {{"layer", layer.layer},
          {"left_angle_degrees", number(layer.left_angle_degrees)},
          {"ffn_left_angle_degrees", number(layer.ffn_left_angle_degrees)},
          {"singular_values", numbers(layer.singular_values)},
          {"ffn_singular_values", numbers(layer.ffn_singular_values)},
          {"passes", layer.passes},
          {"residual", number(layer.residual)},
          {"angle_bound_degrees", number(layer.angle_bound_degrees)},
          {"converged", layer.converged},
          {"rayleigh", number(layer.rayleigh)},
          {"rayleigh_residual", number(layer.rayleigh_residual)},
          {"decay_ratio", number(layer.decay_ratio)},
          {"decay_inputs", layer.decay_inputs},
          {"eigenvalue", std::move(eigenvalue)},
          {"eigen_residual", number(layer.eigen_residual)},
          {"eigenvector_angle_degrees", number(layer.eigenvector_angle_degrees)},
          {"eigenvector_span_angle_degrees", number(layer.eigenvector_span_angle_degrees)},
          {"eigenpair_certified", layer.eigenpair_certified},
          {"linear_variance_explained", number(layer.linear_variance_explained)},
          {"quadratic_variance_explained", number(layer.quadratic_variance_explained)},
          {"linear_variance_explained_weighted", number(layer.linear_variance_explained_weighted)},
          {"quadratic_variance_explained_weighted", number(layer.quadratic_variance_explained_weighted)}};
}

Json landscape(const NormLandscape& landscape) {
  Json norms = Json::array();
  for (const auto& row : landscape.norms) norms.push_back(numbers(row));
  return {{"tokens", landscape.tokens}, {"norms", std::move(norms)}};
}

Json layer_norms(const std::vector<LayerNorms>& layers) {
  Json list = Json::array();
  for (const LayerNorms& norms : layers)
    list.push_back({{"layer", norms.layer},
                    {"median", number(norms.median)},
                    {"p90", number(norms.p90)},
                    {"p99", number(norms.p99)},
                    {"max", number(norms.max)},
                    {"initial_median", number(norms.initial_median)}});
  return list;
}

}  // namespace

std::string scan_json(const ScanResult& r) {
  Json layers = Json::array();
  for (const LayerReport& layer : r.layer_reports) layers.push_back(layer_report(layer));
  const Json json = {
      {"schema", "defectoscope.scan/1"},
      {"program", program_json()},
      {"model",
       {{"name", r.model_name},
        {"family", r.family},
        {"model_type", r.model_type},
        {"fingerprint", r.fingerprint},
        {"layers", r.layers},
        {"hidden_size", r.hidden_size},
        {"heads", r.heads},
        {"kv_heads", r.kv_heads},
        {"ffn_size", r.ffn_size},
        {"vocab_size", r.vocab_size},
        {"parameters", r.parameters},
        {"dtype", r.dtype}}},
      {"options",
       {{"seed", r.seed},
        {"exact", r.exact},
        {"paper_parity", r.paper_parity},
        {"compute", r.compute},
        {"instruction_set", r.instruction_set},
        {"linearization", r.linearization}}},
      {"calibration",
       {{"source", r.calibration.source},
        {"text_sha256", r.calibration.text_sha256.empty() ? Json(nullptr) : Json(r.calibration.text_sha256)},
        {"rows_available", r.calibration.rows_available},
        {"rows_used", r.calibration.rows_used},
        {"tokens", r.calibration.tokens},
        {"settled_early", r.calibration.settled_early}}},
      {"norm_landscape", landscape(r.landscape)},
      {"layer_norms", layer_norms(r.norms)},
      {"high_norm", high_norm(r.high_norm)},
      {"explosion_layers", found_layers(r.explosion_layers)},
      {"decay_layers", found_layers(r.decay_layers)},
      {"gradual_growth", r.gradual_growth},
      {"gradual_decay", r.gradual_decay},
      {"layers", std::move(layers)},
      {"notes", r.notes}};
  return dump(json) + "\n";
}

}  // namespace defectoscope
