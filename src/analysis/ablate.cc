#include "analysis/ablate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "analysis/census.h"
#include "analysis/norm_table.h"
#include "analysis/row_limit.h"
#include "analysis/spike_tokens.h"
#include "base/error.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "forward/perplexity.h"
#include "kernels/pointwise.h"
#include "spectral/singular.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {
namespace {

constexpr Index kPromptTokens = 8;
constexpr Index kBatchTokens = 2048;

class AblationObserver final : public Observer {
 public:
  AblationObserver(Ablation kind, std::span<const AblationSite> sites, std::span<const float> direction)
      : kind_(kind), sites_(sites), direction_(direction) {}

  void on_states(Index layer_index, Tap tap, const Batch&, MatrixView states) override {
    const bool after = kind_ == Ablation::kRemoveAfter;
    if (tap != (after ? Tap::kAfterLayer : Tap::kBeforeFfn)) return;
    for (const AblationSite& site : sites_) {
      if (site.layer != layer_index + 1) continue;
      const std::span<const float> along = after ? direction_ : std::span<const float>(site.trigger);
      for (Index i = 0; i < states.rows(); ++i) {
        const double coefficient = dot(states.row(i), along);
        if (kind_ == Ablation::kRemoveBeforeHigh && coefficient <= site.cut) continue;
        const double wanted = kind_ == Ablation::kClampBefore ? site.ordinary_mean : 0;
        const auto change = static_cast<float>(wanted - coefficient);
        for (std::size_t c = 0; c < along.size(); ++c) states.row(i)[c] += change * along[c];
      }
    }
  }

 private:
  Ablation kind_;
  std::span<const AblationSite> sites_;
  std::span<const float> direction_;
};

/// Norms of all states under a change, and the untouched coefficients at the sites.
class NormRecorder final : public Observer {
 public:
  NormRecorder(Observer* change, std::span<const AblationSite> sites) : change_(change), sites_(sites) {
    coefficients.resize(sites.size());
  }

  void on_states(Index layer_index, Tap tap, const Batch& batch, MatrixView states) override {
    if (change_ != nullptr) change_->on_states(layer_index, tap, batch, states);
    if (tap == Tap::kBeforeFfn)
      for (std::size_t s = 0; s < sites_.size(); ++s)
        for (Index i = 0; i < states.rows() && sites_[s].layer == layer_index + 1; ++i)
          coefficients[s].push_back(dot(states.row(i), sites_[s].trigger));
    if (tap != Tap::kEmbedding && tap != Tap::kAfterLayer) return;
    const auto layer = static_cast<std::size_t>(layer_index + 1);
    if (table.norms.size() <= layer) table.norms.resize(layer + 1);
    for (Index i = 0; i < states.rows(); ++i)
      table.norms[layer].push_back(static_cast<float>(norm(states.row(i))));
  }

  NormTable table;
  std::vector<std::vector<double>> coefficients;  // [sites][tokens]

 private:
  Observer* change_;
  std::span<const AblationSite> sites_;
};

NormRecorder record(const Transformer& transformer, const std::vector<TokenIds>& rows, Observer* change,
                    std::span<const AblationSite> sites) {
  NormRecorder recorder(change, sites);
  for (std::size_t first = 0; first < rows.size();) {
    std::vector<TokenIds> batch;
    Index tokens = 0;
    do {
      tokens += std::ssize(rows[first]);
      recorder.table.tokens.append_row(rows[first]);
      batch.push_back(rows[first++]);
    } while (first < rows.size() && tokens + std::ssize(rows[first]) <= kBatchTokens);
    transformer.run(Batch(std::move(batch)), recorder);
  }
  return recorder;
}

/// The leading right singular vector of a layer's F, of the sign that the real FFN makes more of.
AblationSite make_site(const Transformer& transformer, Index layer, const AblateOptions& options) {
  const Model& model = transformer.model();
  const LinearizedLayer linearized(model.layer(layer - 1), model.config(), options.linearize);
  const SingularTriplets triplets =
      leading_singular(linearized.form(LinearForm::kFfn), {.seed = options.seed});
  const auto v = triplets.right.row(0);
  Matrix x(2, model.config().hidden_size), y(2, x.cols());
  for (Index i = 0; i < x.cols(); ++i) {
    x(0, i) = v[static_cast<std::size_t>(i)];
    x(1, i) = -x(0, i);
  }
  transformer.run_ffn(layer - 1, x, y);
  const auto chosen = x.row(norm(y.row(1)) > norm(y.row(0)) ? 1 : 0);
  return {.layer = layer, .trigger = {chosen.begin(), chosen.end()}};
}

/// What the untouched text says about a site: between the two kinds of tokens lies the cut.
void place_cut(const NormTable& table, const std::vector<double>& coefficients, double threshold,
               AblationSite& site) {
  const std::vector<float>& norms = table.norms[static_cast<std::size_t>(site.layer)];
  double sums[2] = {0, 0};
  Index counts[2] = {0, 0};
  for (std::size_t i = 0; i < norms.size(); ++i) {
    const bool high = threshold > 0 && static_cast<double>(norms[i]) > threshold;
    sums[high] += coefficients[i];
    ++counts[high];
  }
  if (counts[0] > 0) site.ordinary_mean = sums[0] / static_cast<double>(counts[0]);
  const double high_mean = counts[1] > 0 ? sums[1] / static_cast<double>(counts[1]) : site.ordinary_mean;
  site.cut = 0.5 * (site.ordinary_mean + high_mean);
}

std::vector<TokenIds> prompts_of(const std::vector<TokenIds>& rows, Index count) {
  std::vector<TokenIds> prompts;
  for (const TokenIds& row : rows) {
    if (std::ssize(prompts) == count) break;
    if (row.size() < 2) continue;
    const auto length = std::min(row.size(), static_cast<std::size_t>(kPromptTokens));
    prompts.emplace_back(row.begin(), row.begin() + static_cast<std::ptrdiff_t>(length));
  }
  return prompts;
}

}  // namespace

const char* ablation_name(Ablation kind) {
  switch (kind) {
    case Ablation::kRemoveBefore:
      return "remove v before the FFN";
    case Ablation::kRemoveBeforeHigh:
      return "remove v before the FFN, high-norm tokens only";
    case Ablation::kClampBefore:
      return "clamp v to the ordinary mean before the FFN";
    case Ablation::kRemoveAfter:
      return "remove u after the layer";
  }
  return "";
}

std::vector<Ablation> all_ablations() {
  return {Ablation::kRemoveBefore, Ablation::kRemoveBeforeHigh, Ablation::kClampBefore,
          Ablation::kRemoveAfter};
}

std::shared_ptr<Observer> make_ablation(Ablation kind, std::span<const AblationSite> sites,
                                        std::span<const float> direction) {
  return std::make_shared<AblationObserver>(kind, sites, direction);
}

AblationResult ablate(const Model& model, const Tokenizer& tokenizer, const std::vector<TokenIds>& rows,
                      const AblateOptions& options) {
  if (options.layers.empty())
    throw Error(ErrorKind::kUsage, {.what = "this model has no explosion layer to ablate",
                                    .expected = "an explosion layer",
                                    .hint = "name one with --layer N"});
  check_layers(options.layers, model, "--layer");
  TokenIds text;
  for (const TokenIds& row : rows) text.insert(text.end(), row.begin(), row.end());
  AblationResult result;
  const bool measurable = model.config().causal && text.size() >= 2;
  if (!model.config().causal)
    result.notes.emplace_back(
        "A model without a causal mask sees what it would predict: it has no perplexity and generates no "
        "text.");
  else if (!measurable)
    result.notes.push_back(fmt::format("The text has {} token(s): too short for a perplexity.", text.size()));
  result.tokens = std::ssize(text);
  result.window = std::min(row_limit(model.config(), options.window), result.tokens);
  if (measurable && result.window < options.window)
    result.notes.push_back(fmt::format(
        "Perplexity windows hold {} tokens instead of {}: {}.", result.window, options.window,
        result.window == result.tokens ? "the text has no more" : "the model's context ends there"));
  const Transformer untouched(model, {.compute = options.compute, .linear = {}, .intervention = {}});
  for (const Index layer : options.layers) result.sites.push_back(make_site(untouched, layer, options));
  const std::vector<TokenIds> prompts = prompts_of(rows, options.sequences);
  const Index length = row_limit(model.config(), options.sequence_tokens);
  const auto run = [&](const std::string& name, const std::shared_ptr<Observer>& change,
                       const NormRecorder& recorded) {
    const Transformer transformer(model, {.compute = options.compute, .linear = {}, .intervention = change});
    AblationRun one;
    one.name = name;
    one.norms = layer_norms(recorded.table);
    if (measurable) {
      const Perplexity measured = perplexity(transformer, text, {.window = result.window});
      one.perplexity = measured.perplexity;
      one.mean_loss = measured.mean_loss;
      result.targets = measured.targets;
    }
    if (model.config().causal)
      for (const TokenIds& tokens : transformer.sample(prompts, length, options.temperature, options.seed))
        one.texts.push_back(tokenizer.decode(tokens));
    result.runs.push_back(std::move(one));
  };

  const NormRecorder plain = record(untouched, rows, nullptr, result.sites);
  for (std::size_t s = 0; s < result.sites.size(); ++s)
    place_cut(plain.table, plain.coefficients[s], options.threshold, result.sites[s]);
  const std::vector<Ablation> kinds = all_ablations();
  Progress progress("Ablating the explosion", std::ssize(kinds) + 1);
  run("none", nullptr, plain);
  progress.advance();
  for (const Ablation kind : kinds) {
    check_interrupt();
    progress.advance();
    if (kind == Ablation::kRemoveAfter && options.direction.empty()) {
      result.notes.emplace_back("Without an empirical direction nothing is removed after the layer.");
      continue;
    }
    const auto change = make_ablation(kind, result.sites, options.direction);
    run(ablation_name(kind), change, record(untouched, rows, change.get(), result.sites));
  }
  return result;
}

}  // namespace defectoscope
