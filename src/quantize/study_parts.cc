#include "quantize/study_parts.h"

#include <fmt/format.h>

#include <algorithm>

#include "analysis/journal.h"
#include "analysis/scan_result.h"
#include "base/random.h"

namespace defectoscope {
namespace {

constexpr Index kSmallModel = Index{256} << 20;
constexpr std::size_t kAtOnce = 8;

/// Everything that tells one method from another.
std::string record_name(const QuantMethod& method) {
  std::string name =
      fmt::format("{}-{}-{}-{}", method.name, scheme_text(method.scheme), method.smooth, method.alpha);
  for (const ModuleId id : method.skipped)
    name += fmt::format("-{}.{}.{}", id.layer_index, static_cast<int>(id.module), id.expert);
  return fmt::format("method-{:016x}", stream_of(name.c_str()));
}

/// `notes` gets those of its model that are not there yet.
MethodOutcome from_record(const std::string& bytes, Index& targets, std::vector<std::string>& notes) {
  RecordReader reader(bytes);
  MethodOutcome outcome;
  for (auto count = reader.value<std::size_t>(); count > 0; --count) {
    const std::vector<char> letters = reader.list<char>();
    std::string note(letters.begin(), letters.end());
    if (std::ranges::find(notes, note) == notes.end()) notes.push_back(std::move(note));
  }
  targets = reader.value<Index>();
  outcome.mean_loss = reader.value<double>();
  outcome.perplexity = reader.value<double>();
  outcome.mean_kl = reader.value<double>();
  outcome.top1_agreement = reader.value<double>();
  outcome.bytes = reader.value<Index>();
  outcome.tokens_per_second = reader.value<double>();
  return outcome;
}

std::string to_record(const MethodOutcome& outcome, Index targets, const std::vector<std::string>& notes) {
  RecordWriter writer;
  writer.value(notes.size());
  for (const std::string& note : notes) writer.list(std::vector<char>(note.begin(), note.end()));
  writer.value(targets);
  for (const double value : {outcome.mean_loss, outcome.perplexity, outcome.mean_kl, outcome.top1_agreement})
    writer.value(value);
  writer.value(outcome.bytes);
  writer.value(outcome.tokens_per_second);
  return writer.bytes();
}

}  // namespace

MethodComparison::MethodComparison(const Model& model, const TokenIds& tokens, const WindowOptions& windows,
                                   const ActivationMaxima& maxima, ComputeType compute, ScanJournal& journal)
    : model_(model),
      tokens_(tokens),
      windows_(windows),
      maxima_(maxima),
      compute_(compute),
      journal_(journal),
      reference_(model, {.compute = compute, .linear = {}}),
      many_at_once_(model_bytes(model) < kSmallModel) {}

std::vector<MethodOutcome> MethodComparison::run(const std::vector<QuantMethod>& methods,
                                                 std::vector<std::string>& notes) {
  std::vector<QuantMethod> open;
  for (const QuantMethod& method : methods)
    if (!journal_.get(record_name(method))) open.push_back(method);
  const std::size_t group = many_at_once_ ? kAtOnce : 1;
  for (std::size_t first = 0; first < open.size(); first += group)
    run_group(std::span(open).subspan(first, std::min(group, open.size() - first)));
  std::vector<MethodOutcome> outcomes;
  for (const QuantMethod& method : methods) {
    MethodOutcome outcome = from_record(journal_.get(record_name(method)).value(), targets_, notes);
    outcome.method = method.name;
    outcome.scheme = method.quantizes ? scheme_text(method.scheme) : "as stored";
    outcome.skipped.assign(method.skipped.begin(), method.skipped.end());
    outcomes.push_back(std::move(outcome));
  }
  return outcomes;
}

void MethodComparison::run_group(std::span<const QuantMethod> methods) {
  std::vector<std::unique_ptr<QuantizedModel>> models;
  std::vector<const Transformer*> transformers;
  for (const QuantMethod& method : methods) {
    models.push_back(std::make_unique<QuantizedModel>(model_, method, &maxima_, windows_.window, compute_));
    transformers.push_back(&models.back()->transformer());
  }
  const auto shifts = compare_predictions(reference_, transformers, tokens_, windows_);
  for (std::size_t i = 0; i < methods.size(); ++i) {
    const Perplexity& own = shifts[i].other;
    MethodOutcome outcome;
    outcome.mean_loss = own.mean_loss;
    outcome.perplexity = own.perplexity;
    outcome.mean_kl = shifts[i].mean_kl;
    outcome.top1_agreement = shifts[i].top1_agreement;
    outcome.bytes = models[i]->bytes();
    outcome.tokens_per_second =
        static_cast<double>(static_cast<Index>(own.windows.size()) * windows_.window) / shifts[i].seconds;
    journal_.put(record_name(methods[i]), to_record(outcome, own.targets, models[i]->notes()));
  }
}

std::vector<ModuleOutcome> module_outcomes(const Model& model, const EvaluationText& text,
                                           const ScanResult* scan, const StudyOptions& options,
                                           MethodComparison& comparison, std::optional<double>& correlation) {
  const QuantizedModelOptions rtn{
      .scheme = rtn_scheme(), .skipped = {}, .window = options.windows.window, .compute = options.compute};
  const std::vector<ModuleDamage> measured = measure_damage(model, rtn, text.tokens, options.windows);
  std::vector<ModuleDamage> forecast;
  if (scan != nullptr) forecast = forecast_damage(model, rtn, *scan, options.seed);

  std::vector<MethodOutcome> alone;
  if (comparison.many_at_once()) {
    std::vector<QuantMethod> methods;
    for (const ModuleDamage& module : measured) {
      QuantMethod method = method_named("rtn");
      method.name = "alone";
      for (const ModuleDamage& other : measured)
        if (other.id != module.id) method.skipped.insert(other.id);
      methods.push_back(std::move(method));
    }
    std::vector<std::string> notes;
    alone = comparison.run(methods, notes);
  }

  std::vector<ModuleOutcome> outcomes;
  std::vector<double> expected, found;
  for (std::size_t i = 0; i < measured.size(); ++i) {
    ModuleOutcome outcome{measured[i].id, module_path(model, measured[i].id), {}, measured[i], {}};
    if (!forecast.empty()) {
      outcome.forecast = forecast[i];
      if (forecast[i].rows > 0 && measured[i].rows > 0) {
        expected.push_back(forecast[i].relative_error);
        found.push_back(measured[i].relative_error);
      }
    }
    if (!alone.empty()) outcome.alone_kl = alone[i].mean_kl;
    outcomes.push_back(std::move(outcome));
  }
  correlation = rank_correlation(expected, found);
  return outcomes;
}

}  // namespace defectoscope
