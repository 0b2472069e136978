#include "report/json_values.h"
#include "report/quantize_report.h"

namespace defectoscope {
namespace {

Json expert(ModuleId id) {
  if (id.expert == ModuleId::kNoExpert) return nullptr;
  return id.expert == ModuleId::kSharedExpert ? Json("shared") : Json(id.expert);
}

Json skipped(const std::vector<ModuleId>& modules) {
  Json list = Json::array();
  for (const ModuleId id : modules)
    list.push_back(
        {{"layer", id.layer_index + 1}, {"module", module_name(id.module)}, {"expert", expert(id)}});
  return list;
}

Json outcomes(const std::vector<MethodOutcome>& rows) {
  Json list = Json::array();
  for (const MethodOutcome& row : rows)
    list.push_back({{"method", row.method},
                    {"scheme", row.scheme},
                    {"skipped", skipped(row.skipped)},
                    {"perplexity", number(row.perplexity)},
                    {"mean_loss", number(row.mean_loss)},
                    {"mean_kl", number(row.mean_kl)},
                    {"top1_agreement", number(row.top1_agreement)},
                    {"bytes", row.bytes}});
  return list;
}

Json damage(const ModuleDamage& found) {
  const auto met = [&](double value) { return found.rows > 0 ? number(value) : Json(nullptr); };
  return {{"relative_error", met(found.relative_error)},
          {"input_max", met(found.input_max)},
          {"ordinary_input_max", met(found.ordinary_max)}};
}

Json modules(const std::vector<ModuleOutcome>& all) {
  Json list = Json::array();
  for (const ModuleOutcome& module : all)
    list.push_back({{"layer", module.id.layer_index + 1},
                    {"module", module_name(module.id.module)},
                    {"expert", expert(module.id)},
                    {"path", module.path},
                    {"forecast", module.forecast ? damage(*module.forecast) : Json(nullptr)},
                    {"measured", damage(module.measured)},
                    {"alone_kl", number(module.alone_kl)}});
  return list;
}

Json search(const std::optional<SkipSearch>& found) {
  if (!found) return nullptr;
  return {{"target_increase", number(found->target)}, {"order", found->order},
          {"skipped", skipped(found->skipped)},       {"perplexity", number(found->perplexity)},
          {"increase", number(found->increase)},      {"evaluations", found->evaluations}};
}

}  // namespace

std::string perplexity_json(const PerplexityReport& r) {
  Json windows = Json::array();
  for (const WindowLoss& window : r.result.windows)
    windows.push_back({{"begin", window.begin}, {"targets", window.targets}, {"loss", number(window.loss)}});
  const Json json = {{"schema", "defectoscope.perplexity/1"},
                     {"program", program_json()},
                     {"model", {{"name", r.model_name}, {"fingerprint", r.fingerprint}}},
                     {"text", {{"source", r.text}, {"sha256", r.text_sha256}, {"tokens", r.tokens}}},
                     {"options",
                      {{"method", r.method},
                       {"scheme", r.scheme},
                       {"skip_layers", r.skip_layers},
                       {"window", r.window},
                       {"stride", r.stride},
                       {"compute", r.compute},
                       {"instruction_set", r.instruction_set}}},
                     {"perplexity", number(r.result.perplexity)},
                     {"mean_loss", number(r.result.mean_loss)},
                     {"targets", r.result.targets},
                     {"left_out", r.result.left_out},
                     {"windows", std::move(windows)}};
  return dump(json) + "\n";
}

std::string quantize_json(const QuantizeReport& report) {
  const QuantizeStudy& s = report.study;
  const Json json = {
      {"schema", "defectoscope.quantize/1"},
      {"program", program_json()},
      {"model", {{"name", s.model_name}, {"family", s.family}, {"fingerprint", report.fingerprint}}},
      {"text",
       {{"source", s.text},
        {"sha256", s.text_sha256},
        {"tokens", s.tokens},
        {"windows", s.windows},
        {"targets", s.targets},
        {"left_out", s.left_out},
        {"calibration", s.calibration}}},
      {"options",
       {{"window", s.window},
        {"stride", s.stride},
        {"alpha", number(s.alpha)},
        {"skip_layers", s.skip_layers},
        {"skip_from_scan", s.skip_from_scan},
        {"seed", report.seed},
        {"compute", s.compute},
        {"instruction_set", report.instruction_set}}},
      {"table", outcomes(s.rows)},
      {"controls", outcomes(s.controls)},
      {"random_sets", outcomes(s.draws)},
      {"random_sets_beaten", s.draws_beaten},
      {"modules", modules(s.modules)},
      {"forecast_rank_correlation", number(s.forecast_rank_correlation)},
      {"search", search(s.search)},
      {"notes", s.notes}};
  return dump(json) + "\n";
}

}  // namespace defectoscope
