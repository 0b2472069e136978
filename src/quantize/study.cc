#include "quantize/study.h"

#include <fmt/format.h>

#include <algorithm>

#include "analysis/journal.h"
#include "analysis/scan_result.h"
#include "base/error.h"
#include "base/progress.h"
#include "quantize/skip_search.h"
#include "quantize/study_parts.h"

namespace defectoscope {
namespace {

/// The table's rows (the paper's table 1, then references).
std::vector<QuantMethod> table_methods(const StudyOptions& options, const ModuleSet& skipped) {
  std::vector<QuantMethod> methods = {method_named("none"), method_named("rtn")};
  const auto add_skipping = [&](const char* name) {
    if (skipped.empty()) return;
    QuantMethod method = method_named(name);
    method.name += ", skip";
    method.skipped = skipped;
    methods.push_back(method);
  };
  add_skipping("rtn");
  methods.push_back(method_named("smoothquant"));
  add_skipping("smoothquant");
  for (const char* name : {"llm-int8", "per-token", "fp8"}) methods.push_back(method_named(name));
  if (options.scheme) {
    QuantMethod own{.name = "as asked", .scheme = *options.scheme, .skipped = {}};
    methods.push_back(own);
    own.name += ", skip";
    own.skipped = skipped;
    if (!skipped.empty()) methods.push_back(own);
  }
  for (QuantMethod& method : methods) method.alpha = options.alpha;
  return methods;
}

std::vector<QuantMethod> control_methods(const Model& model, const StudyOptions& options) {
  std::vector<Index> all;
  for (Index layer = 1; layer <= model.config().layers; ++layer) all.push_back(layer);
  QuantMethod layers = method_named("rtn"), every = layers;
  layers.name = "RTN, whole layers left alone";
  layers.skipped = layer_modules(model, options.skip_layers);
  every.name = "RTN, every F2 left alone";
  every.skipped = down_modules(model, all);
  return {layers, every};
}

std::vector<QuantMethod> random_methods(const Model& model, const StudyOptions& options,
                                        const ModuleSet& skipped) {
  std::vector<QuantMethod> methods;
  for (Index draw = 0; draw < options.draws; ++draw) {
    QuantMethod method = method_named("rtn");
    method.name = fmt::format("RTN, random set {}", draw + 1);
    method.skipped =
        random_modules(model, skipped.size(), skipped, options.seed + static_cast<std::uint64_t>(draw));
    methods.push_back(method);
  }
  return methods;
}

}  // namespace

QuantizeStudy study_quantization(const Model& model, const EvaluationText& text,
                                 const EvaluationText& calibration, const ScanResult* scan,
                                 const StudyOptions& options, ScanJournal& journal) {
  const TextWindows windows(model, text.tokens, options.windows);
  QuantizeStudy study;
  study.model_name = model.name();
  study.family = model.config().architecture->name;
  study.text = text.source;
  study.text_sha256 = text.sha256;
  study.calibration = calibration.source;
  study.window = options.windows.window;
  study.stride = options.windows.stride == 0 ? study.window : options.windows.stride;
  study.tokens = static_cast<Index>(text.tokens.size());
  study.windows = windows.count();
  study.left_out = windows.left_out();
  study.alpha = options.alpha;
  study.compute = options.compute == ComputeType::kBF16 ? "bf16" : "f32";
  study.skip_layers = options.skip_layers;
  const ModuleSet skipped = down_modules(model, options.skip_layers);

  // Windows as long as the evaluation's: first tokens are then met as often.
  const ActivationMaxima maxima = calibrate(model, calibration.tokens, options.windows, options.compute);

  MethodComparison comparison(model, text.tokens, options.windows, maxima, options.compute, journal);
  study.rows = comparison.run(table_methods(options, skipped), study.notes);
  study.targets = comparison.targets();
  if (!skipped.empty()) {
    study.controls = comparison.run(control_methods(model, options), study.notes);
    study.draws = comparison.run(random_methods(model, options, skipped), study.notes);
    const double own = study.rows[2].mean_kl;
    study.draws_beaten =
        std::ranges::count_if(study.draws, [&](const MethodOutcome& draw) { return draw.mean_kl > own; });
  }

  study.modules = module_outcomes(model, text, scan, options, comparison, study.forecast_rank_correlation);
  if (options.target_increase) {
    study.search = search_skip_set(model, study, options, comparison);
  }
  return study;
}

}  // namespace defectoscope
