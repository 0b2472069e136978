// quantize and perplexity as charts and tables.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "report/quantize_report.h"

namespace defectoscope {
namespace {

constexpr double kPercent = 100;

const MethodOutcome* row_named(const QuantizeStudy& study, std::string_view name) {
  const auto found = std::ranges::find(study.rows, name, &MethodOutcome::method);
  return found == study.rows.end() ? nullptr : &*found;
}

std::string layers_text(const std::vector<Index>& layers) {
  return fmt::format("F2 of layer{} {}", layers.size() == 1 ? "" : "s", fmt::join(layers, ", "));
}

std::vector<std::string> study_sentences(const QuantizeStudy& study) {
  std::vector<std::string> sentences;
  const MethodOutcome& none = study.rows.front();
  const MethodOutcome* rtn = row_named(study, "RTN");
  const MethodOutcome* skip = row_named(study, "RTN, skip");
  std::string text = fmt::format("On {} ({} windows of {} tokens) the model has a perplexity of {:.4g}",
                                 study.text, study.windows, study.window, none.perplexity);
  if (rtn != nullptr)
    text += fmt::format("; with 8 bits, one step for each tensor, {:.4g} (KL {:.2g})", rtn->perplexity,
                        rtn->mean_kl);
  if (skip != nullptr)
    text += fmt::format("; with {} left in 16 bits {:.4g} (KL {:.2g})", layers_text(study.skip_layers),
                        skip->perplexity, skip->mean_kl);
  sentences.push_back(text + ".");
  if (!study.draws.empty())
    sentences.push_back(fmt::format("This set beats {} of {} random sets of as many other matrices.",
                                    study.draws_beaten, study.draws.size()));
  if (study.search)
    sentences.push_back(
        fmt::format("{} matri{} left alone keep{} the perplexity within {:.3g} %.",
                    study.search->skipped.size(), study.search->skipped.size() == 1 ? "x" : "ces",
                    study.search->skipped.size() == 1 ? "s" : "", kPercent * study.search->target));
  sentences.insert(sentences.end(), study.notes.begin(), study.notes.end());
  return sentences;
}

Chart method_chart(const QuantizeStudy& study) {
  Chart chart{.id = "quantize-kl",
              .title = "What each method costs",
              .sentence = {},
              .kind = ChartKind::kBars,
              .x = {.label = "method"},
              .y = {.label = "mean KL divergence", .unit = "nats"}};
  Series series{.name = "KL", .x = {}, .y = {}};
  const MethodOutcome* best = nullptr;
  for (const auto* rows : {&study.rows, &study.controls})
    for (const MethodOutcome& row : *rows) {
      if (&row == &study.rows.front()) continue;
      if (best == nullptr || row.mean_kl < best->mean_kl) best = &row;
      chart.x.categories.push_back(row.method);
      series.x.push_back(static_cast<double>(series.x.size()));
      series.y.push_back(row.mean_kl);
    }
  chart.sentence = fmt::format(
      "{} stays closest to the unquantized model: KL {:.2g}, the same likeliest token for "
      "{:.1f} % of the targets.",
      best->method, best->mean_kl, kPercent * best->top1_agreement);
  chart.series.push_back(std::move(series));
  return chart;
}

/// Forecast against measured output errors, a series a kind of matmul.
Chart damage_chart(const QuantizeStudy& study) {
  Chart chart{.id = "quantize-damage",
              .title = "Damage forecast and measured",
              .sentence = {},
              .kind = ChartKind::kScatter,
              .x = {.label = "forecast error of the output, without text", .unit = "%", .log = true},
              .y = {.label = "measured error of the output", .unit = "%", .log = true}};
  std::map<Module, Series> kinds;
  const ModuleOutcome* worst = &study.modules.front();
  for (const ModuleOutcome& module : study.modules) {
    if (module.measured.relative_error > worst->measured.relative_error) worst = &module;
    if (module.forecast->rows == 0 || module.measured.rows == 0) continue;  // experts that nothing reached
    Series& series = kinds[module.id.module];
    series.name = module_name(module.id.module);
    series.x.push_back(kPercent * module.forecast->relative_error);
    series.y.push_back(kPercent * module.measured.relative_error);
    const std::string expert = expert_label(module.id);
    series.labels.push_back(
        fmt::format("layer {}{}{}", module.id.layer_index + 1, expert.empty() ? "" : ", ", expert));
  }
  for (auto& [module, series] : kinds) chart.series.push_back(std::move(series));
  chart.sentence = study.forecast_rank_correlation
                       ? fmt::format("Over {} matmuls the two orders agree at a rank correlation of {:.2f}; ",
                                     study.modules.size(), *study.forecast_rank_correlation)
                       : std::string("Too few matmuls to rank; ");
  chart.sentence += fmt::format("the largest measured error is that of {}, {:.3g} %.",
                                module_label(worst->id), kPercent * worst->measured.relative_error);
  return chart;
}

Table method_table(const QuantizeStudy& study) {
  Table table{.id = "quantize-table",
              .title = "Table 1 for this model",
              .sentence = "The paper's rows first, then references, controls and random skip sets.",
              .columns = {{"method"},
                          {"scheme"},
                          {.name = "left alone", .help = "matrices that stay as they are"},
                          {"perplexity"},
                          {.name = "KL", .unit = "nats", .help = "mean, of the next token's distribution"},
                          {.name = "same top", .unit = "%", .help = "targets whose likeliest token stays"},
                          {.name = "weights", .unit = "bytes"}},
              .rows = {}};
  for (const auto* rows : {&study.rows, &study.controls, &study.draws})
    for (const MethodOutcome& row : *rows)
      table.rows.push_back({row.method, row.scheme, static_cast<Index>(row.skipped.size()),
                            cell(row.perplexity), cell(row.mean_kl), cell(kPercent * row.top1_agreement),
                            row.bytes});
  return table;
}

Table module_table(const QuantizeStudy& study) {
  Table table{
      .id = "quantize-matmuls",
      .title = "Each matmul's damage",
      .sentence = "Errors of its output with it alone quantized by RTN, everything before it exact.",
      .columns = {{"layer"},
                  {"matmul"},
                  {"module"},
                  {.name = "forecast error", .unit = "%", .help = "from weights and scan, without text"},
                  {.name = "measured error", .unit = "%"},
                  {.name = "KL alone", .unit = "nats", .help = "with this matmul alone quantized"},
                  {.name = "largest input"},
                  {.name = "largest ordinary input", .help = "high-norm tokens left out, where known"}},
      .rows = {}};
  // Empty for an expert that no token reached.
  const auto met = [](const ModuleDamage& damage, double value) {
    return damage.rows > 0 ? cell(value) : Cell();
  };
  for (const ModuleOutcome& module : study.modules) {
    const ModuleDamage& measured = module.measured;
    const ModuleDamage forecast = module.forecast.value_or(ModuleDamage{});
    table.rows.push_back({module.id.layer_index + 1, std::string(module_name(module.id.module)), module.path,
                          met(forecast, kPercent * forecast.relative_error),
                          met(measured, kPercent * measured.relative_error), cell(module.alone_kl),
                          met(measured, measured.input_max), met(forecast, forecast.ordinary_max)});
  }
  return table;
}

}  // namespace

std::vector<Section> quantize_sections(const QuantizeReport& report) {
  const QuantizeStudy& study = report.study;
  Section section{.id = "quantize",
                  .heading = "Quantization: what 8 bits cost",
                  .stage = Stage::kBeyond,
                  .sentences = study_sentences(study),
                  .charts = {method_chart(study)},
                  .tables = {method_table(study)}};
  const bool forecast =
      !study.modules.empty() && std::ranges::all_of(study.modules, [](const ModuleOutcome& module) {
        return module.forecast.has_value();
      });
  if (forecast) section.charts.push_back(damage_chart(study));
  if (!study.modules.empty()) section.tables.push_back(module_table(study));
  return {std::move(section)};
}

std::vector<Section> perplexity_sections(const PerplexityReport& r) {
  Chart chart{.id = "perplexity-windows",
              .title = "Loss along the text",
              .sentence = {},
              .kind = ChartKind::kLines,
              .x = {.label = "window", .whole = true},
              .y = {.label = "mean loss of a target", .unit = "nats"}};
  Series series{.name = "loss", .x = {}, .y = {}};
  for (const WindowLoss& window : r.result.windows) {
    series.x.push_back(static_cast<double>(series.x.size() + 1));
    series.y.push_back(window.targets == 0 ? 0 : window.loss / static_cast<double>(window.targets));
  }
  const auto worst = std::ranges::max_element(series.y);
  chart.sentence = fmt::format("{} windows; the hardest to predict is number {}, {:.3g} nats a token.",
                               series.y.size(), worst - series.y.begin() + 1, *worst);
  chart.series.push_back(std::move(series));
  Table table{
      .id = "perplexity-result",
      .title = "Perplexity",
      .sentence = {},
      .columns = {{"text"},
                  {"method"},
                  {"scheme"},
                  {"windows"},
                  {"targets"},
                  {"left out"},
                  {"mean loss"},
                  {"perplexity"}},
      .rows = {{r.text, r.method, r.scheme, static_cast<Index>(r.result.windows.size()), r.result.targets,
                r.result.left_out, cell(r.result.mean_loss), cell(r.result.perplexity)}}};
  return {{.id = "perplexity",
           .heading = "Perplexity",
           .stage = Stage::kBeyond,
           .sentences = {fmt::format(
               "{} predicts {} with a perplexity of {:.4f}, over {} windows of {} tokens.", r.model_name,
               r.text, r.result.perplexity, r.result.windows.size(), r.window)},
           .charts = {std::move(chart)},
           .tables = {std::move(table)}}};
}

}  // namespace defectoscope
