#include <fmt/format.h>

#include <algorithm>

#include "base/median.h"
#include "report/defect_reports.h"
#include "report/scan_sections.h"

namespace defectoscope {
namespace {

Json matrix(const std::vector<std::vector<double>>& rows) {
  Json list = Json::array();
  for (const auto& row : rows) list.push_back(numbers(row));
  return list;
}

Json text_norms_json(const TextNorms& norms) {
  return {{"tokens", norms.landscape.tokens},
          {"tokens_in_text", norms.tokens_in_text},
          {"norms", matrix(norms.landscape.norms)},
          {"before_ffn", matrix(norms.before_ffn)},
          {"attention_added", matrix(norms.attention_added)},
          {"ffn_added", matrix(norms.ffn_added)}};
}

/// The token whose norm is largest anywhere.
std::size_t tallest(const TextNorms& norms) {
  std::size_t best = 0;
  double most = 0;
  for (const auto& layer : norms.landscape.norms)
    for (std::size_t t = 0; t < layer.size(); ++t)
      if (layer[t] > most) {
        most = layer[t];
        best = t;
      }
  return best;
}

std::string landscape_sentence(const TextNorms& norms, const char* how) {
  const std::size_t token = tallest(norms);
  std::size_t layer = 0;
  for (std::size_t l = 0; l < norms.landscape.norms.size(); ++l)
    if (norms.landscape.norms[l][token] > norms.landscape.norms[layer][token]) layer = l;
  return fmt::format(
      "Each wall is one token, {}; its height is the norm of its hidden state after each layer (0 is the "
      "embedding). The tallest is token {}, “{}”: {:.4g} after layer {}, where the median token has {:.4g}.",
      how, token + 1, norms.landscape.tokens[token], norms.landscape.norms[layer][token], layer,
      median(norms.landscape.norms[layer]));
}

Chart growth_chart(const ScanResult& scan, const TextNorms& norms) {
  const std::size_t token = tallest(norms);
  const auto& landscape = norms.landscape;
  Chart chart{.id = "norm-growth",
              .title = "Growth by module",
              .sentence = {},
              .kind = ChartKind::kLines,
              .x = layer_axis(scan, false),
              .y = {.label = "norm", .log = true}};
  Series before{.name = "before the layer", .x = {}, .y = {}},
      middle{.name = "after attention", .x = {}, .y = {}}, after{.name = "after the FFN", .x = {}, .y = {}},
      attention{.name = "added by attention", .x = {}, .y = {}},
      ffn{.name = "added by the FFN", .x = {}, .y = {}},
      ordinary{.name = "median after the FFN", .x = {}, .y = {}};
  std::size_t largest = 0;
  for (std::size_t l = 0; l < norms.ffn_added.size(); ++l) {
    for (Series* series : {&before, &middle, &after, &attention, &ffn, &ordinary})
      series->x.push_back(static_cast<double>(l + 1));
    before.y.push_back(landscape.norms[l][token]);
    middle.y.push_back(norms.before_ffn[l][token]);
    after.y.push_back(landscape.norms[l + 1][token]);
    attention.y.push_back(norms.attention_added[l][token]);
    ffn.y.push_back(norms.ffn_added[l][token]);
    ordinary.y.push_back(median(landscape.norms[l + 1]));
    if (after.y[l] - middle.y[l] > after.y[largest] - middle.y[largest]) largest = l;
  }
  chart.sentence = fmt::format(
      "Token “{}”, before and after attention and FFN of every layer. Layer {}'s FFN adds the most: {:.4g}, "
      "taking "
      "its norm from {:.4g} to {:.4g}.",
      landscape.tokens[token], largest + 1, ffn.y[largest], middle.y[largest], after.y[largest]);
  if (norms.parallel) {
    chart.sentence += " Attention and FFN run in parallel here: both are in what the FFN adds.";
    chart.series = {before, after, ffn, ordinary};
  } else {
    chart.series = {before, middle, after, attention, ffn, ordinary};
  }
  chart.marks = life_cycle_marks(scan);
  return chart;
}

}  // namespace

AnalysisOutput norms_output(const ScanResult& scan, const std::string& text, const TextNorms& with_start,
                            const std::optional<TextNorms>& without_start) {
  Section section{.id = "norms", .heading = "Norms: how hidden states grow", .stage = Stage::kDevelopment};
  section.charts.push_back(landscape_chart(
      with_start.landscape, "norm-landscape", "Norm landscape",
      landscape_sentence(with_start, without_start ? "after the start token" : "as tokenized")));
  if (without_start)
    section.charts.push_back(landscape_chart(
        without_start->landscape, "norm-landscape-without-start", "Norm landscape without start token",
        landscape_sentence(*without_start, "no start token before them")));
  else
    section.sentences.push_back("This tokenizer adds no start token, so there is one landscape only.");
  if (with_start.tokens_in_text > std::ssize(with_start.landscape.tokens))
    section.sentences.push_back(fmt::format("The text has {} tokens; the model's context ends after {}.",
                                            with_start.tokens_in_text, with_start.landscape.tokens.size()));
  section.charts.push_back(growth_chart(scan, with_start));
  const Json result = {{"text", text},
                       {"parallel", with_start.parallel},
                       {"with_start", text_norms_json(with_start)},
                       {"without_start", without_start ? text_norms_json(*without_start) : Json(nullptr)}};
  std::string summary = section.charts[0].sentence + "\n" + section.charts.back().sentence + "\n";
  return {.name = "norms",
          .json = analysis_json("norms", model_facts(scan), {{"compute", scan.compute}}, result),
          .summary = std::move(summary),
          .sections = {std::move(section)}};
}

}  // namespace defectoscope
