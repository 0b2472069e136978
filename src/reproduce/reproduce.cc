#include "reproduce/reproduce.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "analysis/census.h"
#include "analysis/high_norm_detail.h"
#include "analysis/mechanism.h"
#include "base/error.h"
#include "base/version.h"
#include "model/model.h"
#include "quantize/study_parts.h"
#include "tokenizer/text_rows.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8.h"

namespace defectoscope {
namespace {

using enum PublishedQuantity;

constexpr std::size_t kRows = 1000, kShortest = 10, kLongest = 1000;  // the authors' rows, in characters
constexpr std::size_t kLargestShown = 5;                              // annotated in the paper's figure 6
constexpr std::string_view kSpace = "▁";                              // SentencePiece's
constexpr Index kLargestExact = 1024;  // width up to which LAPACK decomposes every layer unasked

std::vector<TokenIds> parity_rows(const std::filesystem::path& text, const Tokenizer& tokenizer) {
  std::vector<TokenIds> rows;
  for (const TextRow& row : read_rows(text)) {
    const std::size_t length = count_code_points(row.text);
    if (length < kShortest || length > kLongest) continue;
    rows.push_back(tokenizer.encode(row.text, false));
    if (rows.size() == kRows) break;
  }
  if (rows.empty())
    throw_bad_input({.what = "the text has no row that the paper's rule keeps",
                     .file = text.string(),
                     .expected = fmt::format("a line of {} to {} characters", kShortest, kLongest),
                     .hint = "the paper used WikiText-2's training text"});
  return rows;
}

std::string shape_text(const PublishedShape& shape) {
  return fmt::format("family {}, {} layers, width {}, {} key-value heads", shape.family, shape.layers,
                     shape.hidden_size, shape.kv_heads);
}

void check_shape(const PublishedModel& published, const Model& model) {
  const ModelConfig& config = model.config();
  const std::string expected = shape_text(published.shape);
  const std::string got =
      shape_text({config.architecture->name, config.layers, config.hidden_size, config.kv_heads});
  if (expected == got) return;
  throw_bad_input(
      {.what = fmt::format("the model is not {}: its numbers are another model's", published.name),
       .file = model.folder().string(),
       .expected = expected,
       .got = got,
       .hint = "NAME says whose published numbers to compare with, MODEL whose to compute"});
}

/// 0-based dimension of the rank-th largest component of the direction.
std::optional<double> massive_dimension(const std::vector<float>& direction, Index rank) {
  const std::vector<TopDimension> top = top_dimensions(direction);
  if (std::ssize(top) < rank) return std::nullopt;
  return static_cast<double>(top[static_cast<std::size_t>(rank - 1)].dimension);
}

std::optional<double> nearest(const std::vector<FoundLayer>& layers, Index published) {
  std::optional<double> best;
  for (const FoundLayer& found : layers) {
    const auto layer = static_cast<double>(found.layer), target = static_cast<double>(published);
    if (!best || std::abs(layer - target) < std::abs(*best - target)) best = layer;
  }
  return best;
}

/// One run's numbers.
struct Run {
  ScanResult scan;
  Mechanism mechanism;
  bool self_pairs = false;  ///< the mean angle counts each state with itself

  /// Means over lone tokens, where the layer is not beyond the last explosion layer.
  const PathStep* step(Index layer) const {
    if (mechanism.paths.empty()) return nullptr;
    const auto& steps = mechanism.paths.back().steps;
    return layer <= std::ssize(steps) ? &steps[static_cast<std::size_t>(layer - 1)] : nullptr;
  }
  std::optional<double> value(const PublishedFigure& figure) const;
};

std::optional<double> Run::value(const PublishedFigure& figure) const {
  const HighNorm& high = scan.high_norm;
  if (high.count == 0) return std::nullopt;
  const auto at = [&](const auto& layers) -> const auto& {
    return layers[static_cast<std::size_t>(figure.layer - 1)];
  };
  switch (figure.quantity) {
    case kPairwiseAngle: {
      if (high.angle_states < 2) return std::nullopt;
      const auto n = static_cast<double>(high.angle_states);
      return high.mean_pairwise_angle_degrees * (self_pairs ? (n - 1) / n : 1);
    }
    case kExplosionLayer:
      return nearest(scan.explosion_layers, figure.layer);
    case kDecayLayer:
      return nearest(scan.decay_layers, figure.layer);
    case kLeftAngle:
      return at(scan.layer_reports).left_angle_degrees;
    case kFfnLeftAngle:
      return at(scan.layer_reports).ffn_left_angle_degrees;
    case kEigenvalue: {
      const auto& eigenvalue = at(scan.layer_reports).eigenvalue;
      return eigenvalue ? std::optional(eigenvalue->real()) : std::nullopt;
    }
    case kEigenvectorAngle:
      return at(scan.layer_reports).eigenvector_angle_degrees;
    case kNormBeforeFfn:
      return step(figure.layer) != nullptr ? step(figure.layer)->before_ffn : std::nullopt;
    case kNormAfterFfn:
      return step(figure.layer) != nullptr ? std::optional(step(figure.layer)->after) : std::nullopt;
    case kLaterNorm:
      return scan.norms[static_cast<std::size_t>(figure.layer)].median;
    case kFirstCoefficient: {
      const auto found = std::ranges::find(mechanism.explosions, figure.layer, &ExplosionEvidence::layer);
      return found != mechanism.explosions.end() ? std::optional(found->coefficient_first) : std::nullopt;
    }
    case kMassiveDimension:
      return massive_dimension(high.direction, figure.layer);
    default:
      return std::nullopt;
  }
}

Run run(const Model& model, const Tokenizer& tokenizer, const ScanOptions& options, ScanJournal& journal) {
  Run result;
  result.self_pairs = options.linearize.paper_parity;
  result.scan = scan(model, tokenizer, options, journal);
  result.mechanism = explain_mechanism(
      model, tokenizer, result.scan,
      {.seed = options.seed, .compute = options.compute, .linearize = options.linearize}, journal);
  return result;
}

/// See kNamedSpikes.
double count_named_spikes(const PublishedModel& published, Index layer, const Model& model,
                          const Tokenizer& tokenizer, ComputeType compute, ScanJournal& journal) {
  const Transformer transformer(model, {.compute = compute, .linear = {}});
  std::vector<float> norms = norms_without_attention(transformer, layer - 1, journal);
  norms.resize(static_cast<std::size_t>(std::min(tokenizer.size(), model.config().vocab_size)));
  std::vector<std::size_t> order(norms.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater{}, [&](std::size_t i) { return norms[i]; });
  order.resize(std::min(order.size(), kLargestShown));
  std::set<std::string_view> found;
  for (const std::size_t id : order) {
    std::string token = tokenizer.token(static_cast<TokenId>(id));
    if (token.starts_with(kSpace)) token.erase(0, kSpace.size());
    const auto named = std::ranges::find(published.named_tokens, token);
    if (named != published.named_tokens.end()) found.insert(*named);
  }
  return static_cast<double>(found.size());
}

QuantMethod method_for(PublishedQuantity quantity, const PublishedModel& published, const Model& model) {
  const bool smooth = quantity == kPerplexitySmooth || quantity == kPerplexitySmoothSkip;
  QuantMethod method = method_named(quantity == kPerplexity ? "none" : smooth ? "smoothquant" : "rtn");
  if (quantity == kPerplexityRtnSkip || quantity == kPerplexitySmoothSkip)
    method.skipped = down_modules(model, published.skip_layers);
  method.name = figure_name({quantity});
  return method;
}

/// The published figures that are perplexities.
std::map<PublishedQuantity, double> perplexities(const PublishedModel& published, const Model& model,
                                                 const Tokenizer& tokenizer, const ReproduceOptions& options,
                                                 ScanJournal& journal, std::vector<std::string>& notes) {
  std::vector<PublishedQuantity> wanted;
  for (const PublishedFigure& figure : published.figures)
    if (is_perplexity(figure.quantity)) wanted.push_back(figure.quantity);
  if (wanted.empty()) return {};
  if (options.perplexity_text.empty()) {
    notes.emplace_back("Perplexities are left out: --perplexity-text names the text to measure them on.");
    return {};
  }
  const EvaluationText text = read_evaluation_text(options.perplexity_text, tokenizer, model);
  const WindowOptions windows{.window = window_for(model, options.window)};
  const ComputeType compute = options.scan.compute;
  journal.set_key(fmt::format("reproduce {} {} {} {} {}", kVersion, options.scan.fingerprint, text.sha256,
                              windows.window, static_cast<int>(compute)));
  std::vector<QuantMethod> methods;
  for (const PublishedQuantity quantity : wanted) methods.push_back(method_for(quantity, published, model));
  const ActivationMaxima maxima = calibrate(model, text.tokens, windows, compute);
  MethodComparison comparison(model, text.tokens, windows, maxima, compute, journal);
  const std::vector<MethodOutcome> outcomes = comparison.run(methods, notes);
  std::map<PublishedQuantity, double> values;
  for (std::size_t i = 0; i < wanted.size(); ++i) values[wanted[i]] = outcomes[i].perplexity;
  return values;
}

}  // namespace

void ReproduceJournals::clear() {
  parity.clear();
  exact.clear();
  perplexity.clear();
}

Reproduction reproduce(const PublishedModel& published, const Model& model, const Tokenizer& tokenizer,
                       const ReproduceOptions& options, ReproduceJournals& journals) {
  check_shape(published, model);
  if (options.scan.text.empty())
    throw Error(ErrorKind::kUsage,
                ErrorParts{.what = "the published numbers were measured on a text",
                           .expected = "--text FILE",
                           .hint = "the paper used WikiText-2's training text, a row a line"});
  ScanOptions exact = options.scan;
  if (!exact.threshold && published.threshold > 0) exact.threshold = published.threshold;
  exact.exact = exact.exact || model.config().hidden_size <= kLargestExact;
  ScanOptions parity = exact;
  parity.token_rows = parity_rows(options.scan.text, tokenizer);
  parity.text.clear();
  parity.linearize.paper_parity = true;
  parity.linearize.covariance = InputCovariance::kIdentity;

  Reproduction result{.name = std::string(published.name),
                      .source = std::string(published.source),
                      .threshold = exact.threshold.value_or(0),
                      .parity_rows = std::ssize(parity.token_rows),
                      .figures = {},
                      .notes = {}};
  const Run runs[] = {run(model, tokenizer, parity, journals.parity),
                      run(model, tokenizer, exact, journals.exact)};
  for (const Run& one : runs)
    if (one.scan.high_norm.count == 0)
      result.notes.push_back(
          fmt::format("{}: no hidden state is of high norm{}, so there is nothing to compare.",
                      one.self_pairs ? "Parity" : "Exact",
                      exact.threshold ? fmt::format(" (above {})", *exact.threshold) : ""));
  const auto measured = perplexities(published, model, tokenizer, options, journals.perplexity, result.notes);
  for (const PublishedFigure& figure : published.figures) {
    if (figure.quantity == kNamedSpikes) {  // no mode changes it
      const double count =
          count_named_spikes(published, figure.layer, model, tokenizer, exact.compute, journals.exact);
      result.figures.push_back({figure, count, count});
      continue;
    }
    if (!is_perplexity(figure.quantity)) {
      result.figures.push_back({figure, runs[0].value(figure), runs[1].value(figure)});
      continue;
    }
    const auto found = measured.find(figure.quantity);
    const auto value = found == measured.end() ? std::nullopt : std::optional(found->second);
    result.figures.push_back({figure, value, value});
  }
  return result;
}

}  // namespace defectoscope
