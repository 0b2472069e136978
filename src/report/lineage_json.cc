#include "report/lineage_json.h"

#include <cmath>
#include <numbers>

#include "report/json_values.h"
#include "report/lineage_text.h"

namespace defectoscope {
namespace {

Json evidence_json(const Evidence& e) {
  Json json{{"kind", evidence_name(e.kind)}, {"compared", e.compared()}};
  if (!e.compared()) {
    json["reason"] = e.not_compared;
    return json;
  }
  json["distance_degrees"] = number(e.distance_degrees);
  json["layer_a"] = e.layer_a + 1;
  json["layer_b"] = e.layer_b + 1;
  json["comparisons"] = e.comparisons;
  json["dimension"] = number(e.dimension);
  json["p_beta"] = std::exp(e.log_p_beta);
  json["log10_p_beta"] = log10_json(e.log_p_beta);
  json["p_permutation"] = std::exp(e.log_p_permutation);
  json["log10_p_permutation"] = log10_json(e.log_p_permutation);
  json["p_laws"] = std::exp(e.log_p_laws);
  json["log10_p_laws"] = log10_json(e.log_p_laws);
  json["p_empirical"] = probability_json(e.log_p_empirical);
  json["log10_p_empirical"] = log10_json(e.log_p_empirical);
  json["extrapolated_below"] = extrapolated_below(e);
  json["p_value"] = std::exp(e.log_p);
  json["log10_p_value"] = log10_json(e.log_p);
  json["angles_degrees"] = numbers(e.angles_degrees);
  return json;
}

Json embedding_fit_json(const EmbeddingFit& fit) {
  return {{"tokens", fit.tokens}, {"dimension", fit.dimension}, {"fit", number(fit.fit)}};
}

void add_alignment(const std::optional<LayerAlignment>& alignment, Json& json) {
  json["layers_of_b"] = json["missing_layers_of_a"] = json["first_layers_of_a"] = nullptr;
  if (!alignment) return;
  Json layers = Json::array(), missing = Json::array();
  for (std::size_t i = 0; i < alignment->layers.size(); ++i) {
    const AlignedLayer& layer = alignment->layers[i];
    const bool found = layer.counterpart.has_value();
    layers.push_back({{"layer", i + 1},
                      {"fate", fate_name(layer.fate)},
                      {"counterpart", found ? Json(*layer.counterpart + 1) : Json(nullptr)},
                      {"angle_degrees", found ? number(layer.degrees) : Json(nullptr)},
                      {"log10_p_value", found ? log10_json(layer.log_p) : Json(nullptr)}});
  }
  for (const Index i : alignment->missing) missing.push_back(i + 1);
  json["layers_of_b"] = std::move(layers);
  json["missing_layers_of_a"] = std::move(missing);
  if (alignment->prefix) json["first_layers_of_a"] = *alignment->prefix;
}

}  // namespace

Json compared_model_json(const ComparedModel& model) {
  return {{"model", model.model},
          {"family", model.family},
          {"fingerprint", model.fingerprint},
          {"hidden_size", model.hidden_size},
          {"layers", model.layers},
          {"sampled_tokens", model.tokens}};
}

Json probability_json(const std::optional<double>& log_p) {
  return log_p ? Json(std::exp(*log_p)) : Json(nullptr);
}

Json log10_json(const std::optional<double>& log_p) {
  return log_p ? number(*log_p / std::numbers::ln10) : Json(nullptr);
}

Json carried_by_json(const Comparison& comparison) {
  return comparison.carried_by ? Json(evidence_name(*comparison.carried_by)) : Json(nullptr);
}

std::string comparison_json(const Comparison& comparison) {
  Json evidence = Json::array();
  for (const Evidence& e : comparison.evidence) evidence.push_back(evidence_json(e));
  Json json{{"schema", "defectoscope.compare/1"},
            {"program", program_json()},
            {"a", compared_model_json(comparison.a)},
            {"b", compared_model_json(comparison.b)},
            {"form", signature_form_name(comparison.form)},
            {"verdict", verdict_name(comparison.verdict)},
            {"verdict_in_words", verdict_sentence(comparison)},
            {"distance_degrees", number(comparison.distance_degrees)}};
  json["p_value"] = probability_json(comparison.log_p);
  json["log10_p_value"] = log10_json(comparison.log_p);
  json["extrapolated_below"] = extrapolated_below(comparison);
  json["carried_by"] = carried_by_json(comparison);
  json["shared_tokens"] = comparison.shared_tokens;
  json["embedding_fit"] = comparison.embedding_fit ? embedding_fit_json(*comparison.embedding_fit) : nullptr;
  json["evidence"] = std::move(evidence);
  add_alignment(comparison.alignment, json);
  return dump(json) + "\n";
}

}  // namespace defectoscope
