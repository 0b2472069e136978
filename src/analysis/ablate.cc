#include "analysis/ablate.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "analysis/census.h"
#include "analysis/kept_perplexity.h"
#include "analysis/norm_table.h"
#include "analysis/record_fields.h"
#include "analysis/row_limit.h"
#include "analysis/spike_tokens.h"
#include "base/error.h"
#include "base/parallel.h"
#include "base/progress.h"
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

/// Norms of a batch's states under a change, and the coefficients at the sites.
struct BatchNorms {
  std::vector<std::vector<float>> norms;          // [layers + 1][tokens]
  std::vector<std::vector<double>> coefficients;  // [sites][tokens]
};
constexpr auto kEachOfBatchNorms = [](auto& batch, const auto& field) {
  field(batch.norms);
  field(batch.coefficients);
};

class NormRecorder final : public Observer {
 public:
  NormRecorder(Observer* change, std::span<const AblationSite> sites) : change_(change), sites_(sites) {
    batch.coefficients.resize(sites.size());
  }

  void on_states(Index layer_index, Tap tap, const Batch& tokens, MatrixView states) override {
    if (change_ != nullptr) change_->on_states(layer_index, tap, tokens, states);
    if (tap == Tap::kBeforeFfn)
      for (std::size_t s = 0; s < sites_.size(); ++s)
        for (Index i = 0; i < states.rows() && sites_[s].layer == layer_index + 1; ++i)
          batch.coefficients[s].push_back(dot(states.row(i), sites_[s].trigger));
    if (tap != Tap::kEmbedding && tap != Tap::kAfterLayer) return;
    std::vector<float>& norms = batch.norms.emplace_back();
    for (Index i = 0; i < states.rows(); ++i) norms.push_back(static_cast<float>(norm(states.row(i))));
  }

  BatchNorms batch;

 private:
  Observer* change_;
  std::span<const AblationSite> sites_;
};

template <typename T>
void append_each(const std::vector<std::vector<T>>& more, std::vector<std::vector<T>>& lists) {
  lists.resize(more.size());
  for (std::size_t i = 0; i < more.size(); ++i)
    lists[i].insert(lists[i].end(), more[i].begin(), more[i].end());
}

/// The text's rows, some to a pass.
std::vector<std::vector<TokenIds>> batches_of(const std::vector<TokenIds>& rows) {
  std::vector<std::vector<TokenIds>> batches;
  Index tokens = 0;
  for (const TokenIds& row : rows) {
    if (batches.empty() || tokens + std::ssize(row) > kBatchTokens) {
      batches.emplace_back();
      tokens = 0;
    }
    tokens += std::ssize(row);
    batches.back().push_back(row);
  }
  return batches;
}

/// Norms by layer and token of the whole text.
struct RecordedNorms {
  NormTable table;
  std::vector<std::vector<double>> coefficients;  // [sites][tokens]
};

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

namespace {

constexpr auto kEachOfSite = [](auto& site, const auto& field) {
  field(site.layer);
  field(site.trigger);
};
constexpr auto kEachOfTexts = [](auto& texts, const auto& field) { field(texts); };

/// The text under one change after another, in parts that are kept.
class AblationPasses {
 public:
  AblationPasses(const Model& model, const std::vector<TokenIds>& rows, const AblateOptions& options,
                 ScanJournal& journal)
      : model_(model),
        batches_(batches_of(rows)),
        options_(options),
        journal_(journal),
        // Sites and texts depend on these besides the journal's key.
        name_(fmt::format("ablate-{}-{}", fmt::join(options.layers, "-"), options.temperature)) {}

  std::string part(const std::string& what) const { return name_ + "-" + what; }

  RecordedNorms norms(std::size_t condition, const Transformer& transformer, Observer* change,
                      std::span<const AblationSite> sites) {
    RecordedNorms all;
    for (std::size_t b = 0; b < batches_.size(); ++b) {
      check_interrupt();
      const BatchNorms batch = kept_or_made<BatchNorms>(
          journal_, part(fmt::format("{}-norms-{:04}", condition, b)), kEachOfBatchNorms, [&] {
            NormRecorder recorder(change, sites);
            transformer.run(Batch(batches_[b]), recorder);
            return recorder.batch;
          });
      for (const TokenIds& row : batches_[b]) all.table.tokens.append_row(row);
      append_each(batch.norms, all.table.norms);
      append_each(batch.coefficients, all.coefficients);
    }
    return all;
  }

  Perplexity predictions(std::size_t condition, const Transformer& transformer, const TokenIds& text,
                         Index window) {
    return kept_perplexity(transformer, text, {.window = window}, journal_,
                           part(fmt::format("{}-windows", condition)));
  }

  std::vector<std::string> continuations(std::size_t condition, const Transformer& transformer,
                                         const Tokenizer& tokenizer, const std::vector<TokenIds>& prompts) {
    const Index length = row_limit(model_.config(), options_.sequence_tokens);
    return kept_or_made<std::vector<std::string>>(
        journal_, part(fmt::format("{}-texts", condition)), kEachOfTexts, [&] {
          std::vector<std::string> texts;
          for (const TokenIds& tokens :
               transformer.sample(prompts, length, options_.temperature, options_.seed))
            texts.push_back(tokenizer.decode(tokens));
          return texts;
        });
  }

 private:
  const Model& model_;
  std::vector<std::vector<TokenIds>> batches_;
  const AblateOptions& options_;
  ScanJournal& journal_;
  std::string name_;
};

/// What the text allows, with a note where it is less than asked for. Returns whether it has a perplexity.
bool measure_text(const ModelConfig& config, const TokenIds& text, const AblateOptions& options,
                  AblationResult& result) {
  const bool measurable = config.causal && text.size() >= 2;
  if (!config.causal)
    result.notes.emplace_back(
        "A model without a causal mask sees what it would predict: it has no perplexity and generates no "
        "text.");
  else if (!measurable)
    result.notes.push_back(fmt::format("The text has {} token(s): too short for a perplexity.", text.size()));
  result.tokens = std::ssize(text);
  result.window = std::min(row_limit(config, options.window), result.tokens);
  if (measurable && result.window < options.window)
    result.notes.push_back(fmt::format(
        "Perplexity windows hold {} tokens instead of {}: {}.", result.window, options.window,
        result.window == result.tokens ? "the text has no more" : "the model's context ends there"));
  return measurable;
}

}  // namespace

AblationResult ablate(const Model& model, const Tokenizer& tokenizer, const std::vector<TokenIds>& rows,
                      const AblateOptions& options, ScanJournal& journal) {
  if (options.layers.empty())
    throw Error(ErrorKind::kUsage, {.what = "this model has no explosion layer to ablate",
                                    .expected = "an explosion layer",
                                    .hint = "name one with --layer N"});
  check_layers(options.layers, model, "--layer");
  TokenIds text;
  for (const TokenIds& row : rows) text.insert(text.end(), row.begin(), row.end());
  AblationResult result;
  const bool measurable = measure_text(model.config(), text, options, result);
  AblationPasses passes(model, rows, options, journal);
  const Transformer untouched(model, {.compute = options.compute, .linear = {}, .intervention = {}});
  for (const Index layer : options.layers)
    result.sites.push_back(kept_or_made<AblationSite>(journal, passes.part(fmt::format("site-{}", layer)),
                                                      kEachOfSite,
                                                      [&] { return make_site(untouched, layer, options); }));
  const std::vector<TokenIds> prompts = prompts_of(rows, options.sequences);
  const std::vector<Ablation> kinds = all_ablations();
  Progress progress("Ablating the explosion", std::ssize(kinds) + 1);
  for (std::size_t condition = 0; condition <= kinds.size(); ++condition) {
    const bool plain = condition == 0;
    if (!plain && kinds[condition - 1] == Ablation::kRemoveAfter && options.direction.empty()) {
      result.notes.emplace_back("Without an empirical direction nothing is removed after the layer.");
      progress.advance();
      continue;
    }
    AblationRun run;
    run.name = plain ? "none" : ablation_name(kinds[condition - 1]);
    const std::shared_ptr<Observer> change =
        plain ? nullptr : make_ablation(kinds[condition - 1], result.sites, options.direction);
    const RecordedNorms recorded = passes.norms(condition, untouched, change.get(), result.sites);
    run.norms = layer_norms(recorded.table);
    if (plain)
      for (std::size_t s = 0; s < result.sites.size(); ++s)
        place_cut(recorded.table, recorded.coefficients[s], options.threshold, result.sites[s]);
    const Transformer transformer(model, {.compute = options.compute, .linear = {}, .intervention = change});
    if (measurable) {
      const Perplexity measured = passes.predictions(condition, transformer, text, result.window);
      run.perplexity = measured.perplexity;
      run.mean_loss = measured.mean_loss;
      result.targets = measured.targets;
    }
    if (model.config().causal) run.texts = passes.continuations(condition, transformer, tokenizer, prompts);
    result.runs.push_back(std::move(run));
    progress.advance();
  }
  return result;
}

}  // namespace defectoscope
