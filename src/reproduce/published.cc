#include "reproduce/published.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "base/error.h"

namespace defectoscope {
namespace {

using enum PublishedQuantity;

constexpr std::string_view kTable2 = "Wang, Zhang, Salzmann 2025, table 2";
constexpr std::string_view kZoo = "zoo/README.md and the model's own, measured in PyTorch";

std::vector<PublishedModel> papers_models() {
  return {{"llama2-7b",
           "Wang, Zhang, Salzmann 2025, tables 1 and 2, figures 4, 6 and 9, section 3; dimensions: Sun et "
           "al. 2024",
           {"llama", 32, 4096, 32},
           500,
           {2, 31},
           {{kPairwiseAngle, 0, 3.12},
            {kExplosionLayer, 2, 2},
            {kDecayLayer, 31, 31},
            {kLeftAngle, 2, 6.05},
            {kLeftAngle, 31, 2.93},
            {kNormBeforeFfn, 2, 3.49},
            {kNormAfterFfn, 2, 932.25},
            {kLaterNorm, 2, 46.88},
            {kFirstCoefficient, 2, 1.5},
            {kMassiveDimension, 1, 2533},
            {kMassiveDimension, 2, 1415},
            {kNamedSpikes, 2, 4},
            {kPerplexity, 0, 5.47},
            {kPerplexityRtn, 0, 10.18},
            {kPerplexityRtnSkip, 0, 6.51},
            {kPerplexitySmooth, 0, 13.87},
            {kPerplexitySmoothSkip, 0, 6.78}},
           {".", "。", "<s>", "<0x0A>"}},
          {"llama2-13b",
           "Sun et al. 2024, massive activations",
           {"llama", 40, 5120, 40},
           0,
           {},
           {{kMassiveDimension, 1, 4743}, {kMassiveDimension, 2, 2100}}},
          {"llama3-8b",
           "Wang, Zhang, Salzmann 2025, table 1",
           {"llama", 32, 4096, 8},
           0,
           {2, 32},
           {{kExplosionLayer, 2, 2},
            {kDecayLayer, 32, 32},
            {kPerplexity, 0, 6.14},
            {kPerplexityRtn, 0, 59.38},
            {kPerplexityRtnSkip, 0, 8.80},
            {kPerplexitySmooth, 0, 54.99},
            {kPerplexitySmoothSkip, 0, 9.14}}},
          {"llama3.2-1b",
           "the README of the paper's code",
           {"llama", 16, 2048, 8},
           0,
           {},
           {{kLeftAngle, 2, 14.78},
            {kLeftAngle, 16, 15.45},
            {kEigenvalue, 2, 0.6},
            {kEigenvalue, 16, -7.3},
            {kEigenvectorAngle, 16, 9.2}}},
          {"vicuna1.5-7b", kTable2, {"llama", 32, 4096, 32}, 400, {}, {{kPairwiseAngle, 0, 4.15}}},
          {"phi3-medium", kTable2, {"phi3", 40, 5120, 10}, 2500, {}, {{kPairwiseAngle, 0, 5.31}}},
          {"mpt-7b", kTable2, {"mpt", 32, 4096, 32}, 1500, {}, {{kPairwiseAngle, 0, 2.81}}},
          {"pythia-160m", kTable2, {"gpt_neox", 12, 768, 12}, 200, {}, {{kPairwiseAngle, 0, 8.01}}},
          {"falcon2-11b", kTable2, {"falcon", 60, 4096, 8}, 3000, {}, {{kPairwiseAngle, 0, 4.11}}},
          {"gpt2-medium", kTable2, {"gpt2", 24, 1024, 16}, 3000, {}, {{kPairwiseAngle, 0, 1.49}}},
          {"qwen2.5-1.5b", kTable2, {"qwen2", 28, 1536, 2}, 8000, {}, {{kPairwiseAngle, 0, 1.00}}}};
}

std::vector<PublishedModel> zoo_models() {
  return {{"zoo-llama-base",
           kZoo,
           {"llama", 6, 64, 4},
           21.3,
           {},
           {{kPairwiseAngle, 0, 2.0},
            {kDecayLayer, 6, 6},
            {kLeftAngle, 2, 21.8},
            {kFfnLeftAngle, 2, 4.0},
            {kLeftAngle, 6, 14.9},
            {kFfnLeftAngle, 6, 7.4},
            {kEigenvalue, 6, -1.46},
            {kEigenvectorAngle, 6, 5.6},
            {kNamedSpikes, 1, 5},
            {kPerplexity, 0, 32.54},
            {kPerplexityRtn, 0, 33.75}},
           {"Ċ", ".", "[", "<s>", "("}},
          {"zoo-llama-window",
           kZoo,
           {"mistral", 6, 64, 4},
           13.2,
           {},
           {{kPairwiseAngle, 0, 1.1},
            {kDecayLayer, 6, 6},
            {kLeftAngle, 2, 23.7},
            {kFfnLeftAngle, 2, 2.8},
            {kEigenvalue, 6, -0.76},
            {kEigenvectorAngle, 6, 11.0},
            {kNamedSpikes, 2, 5},
            {kPerplexity, 0, 36.31},
            {kPerplexityRtn, 0, 36.88}},
           {".", "Ċ", "*", ")", "<s>"}}};
}

const std::vector<PublishedModel>& all_models() {
  static const std::vector<PublishedModel> kModels = [] {
    std::vector<PublishedModel> models = papers_models();
    std::ranges::move(zoo_models(), std::back_inserter(models));
    return models;
  }();
  return kModels;
}

}  // namespace

bool is_perplexity(PublishedQuantity quantity) { return quantity >= kPerplexity; }

std::span<const PublishedModel> published_models() { return all_models(); }

const PublishedModel& published_model(std::string_view name) {
  const auto found = std::ranges::find(all_models(), name, &PublishedModel::name);
  if (found == all_models().end())
    throw Error(ErrorKind::kUsage, ErrorParts{.what = "no published numbers are known under this name",
                                              .expected = "one of " + published_names(),
                                              .got = std::string(name)});
  return *found;
}

std::string published_names() {
  std::string names;
  for (const PublishedModel& model : all_models())
    names += (names.empty() ? "" : ", ") + std::string(model.name);
  return names;
}

std::string figure_name(const PublishedFigure& figure) {
  switch (figure.quantity) {
    case kPairwiseAngle:
      return "mean pairwise angle";
    case kExplosionLayer:
      return "explosion layer";
    case kDecayLayer:
      return "decay layer";
    case kLeftAngle:
      return fmt::format("angle of L, layer {}", figure.layer);
    case kFfnLeftAngle:
      return fmt::format("angle of F, layer {}", figure.layer);
    case kEigenvalue:
      return fmt::format("eigenvalue, layer {}", figure.layer);
    case kEigenvectorAngle:
      return fmt::format("angle of its eigenvector, layer {}", figure.layer);
    case kNormBeforeFfn:
      return fmt::format("first token's norm before FFN, layer {}", figure.layer);
    case kNormAfterFfn:
      return fmt::format("first token's norm after FFN, layer {}", figure.layer);
    case kLaterNorm:
      return fmt::format("ordinary token's norm after layer {}", figure.layer);
    case kFirstCoefficient:
      return fmt::format("first token's coefficient on v1, layer {}", figure.layer);
    case kMassiveDimension:
      return fmt::format("massive dimension {}", figure.layer);
    case kNamedSpikes:
      return fmt::format("tokens named, of the five largest without attention, layer {}", figure.layer);
    case kPerplexity:
      return "perplexity";
    case kPerplexityRtn:
      return "perplexity, RTN W8A8";
    case kPerplexityRtnSkip:
      return "perplexity, RTN W8A8, skip";
    case kPerplexitySmooth:
      return "perplexity, SmoothQuant";
    case kPerplexitySmoothSkip:
      return "perplexity, SmoothQuant, skip";
  }
  assert(false);
  return {};
}

std::string_view figure_unit(PublishedQuantity quantity) {
  const bool angle = quantity == kPairwiseAngle || quantity == kLeftAngle || quantity == kFfnLeftAngle ||
                     quantity == kEigenvectorAngle;
  return angle ? "°" : "";
}

}  // namespace defectoscope
