#include "report/lineage_json.h"

#include <cmath>
#include <numbers>

#include "base/version.h"
#include "lineage/null_law.h"
#include "report/json_values.h"
#include "report/lineage_text.h"

namespace defectoscope {
namespace {

Json log10_of(double log_p) { return number(log_p / std::numbers::ln10); }

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
  json["log10_p_beta"] = log10_of(e.log_p_beta);
  json["p_permutation"] = std::exp(e.log_p_permutation);
  json["log10_p_permutation"] = log10_of(e.log_p_permutation);
  json["p_value"] = std::exp(e.log_p);
  json["log10_p_value"] = log10_of(e.log_p);
  json["angles_degrees"] = numbers(e.angles_degrees);
  return json;
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

std::string comparison_json(const Comparison& comparison) {
  Json evidence = Json::array();
  for (const Evidence& e : comparison.evidence) evidence.push_back(evidence_json(e));
  Json json{{"schema", "defectoscope.compare/1"},
            {"program", {{"name", "defectoscope"}, {"version", kVersion}}},
            {"a", compared_model_json(comparison.a)},
            {"b", compared_model_json(comparison.b)},
            {"form", signature_form_name(comparison.form)},
            {"verdict", verdict_name(comparison.verdict)},
            {"verdict_in_words", verdict_sentence(comparison)},
            {"distance_degrees", number(comparison.distance_degrees)}};
  json["p_value"] = comparison.log_p ? Json(std::exp(*comparison.log_p)) : Json(nullptr);
  json["log10_p_value"] = comparison.log_p ? log10_of(*comparison.log_p) : Json(nullptr);
  json["extrapolated_below"] = kPermutationTested;
  json["carried_by"] = comparison.carried_by ? Json(evidence_name(*comparison.carried_by)) : Json(nullptr);
  json["shared_tokens"] = comparison.shared_tokens;
  json["evidence"] = std::move(evidence);
  return dump(json) + "\n";
}

}  // namespace defectoscope
