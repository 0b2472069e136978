#include "analysis/census.h"

#include <fmt/format.h>

#include <algorithm>

#include "analysis/embedding_draws.h"
#include "analysis/journal.h"
#include "analysis/threshold.h"
#include "base/error.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "kernels/pointwise.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {
namespace {

constexpr Index kCensusPiece = 2048;

enum class Form { kWithoutAttention, kLone, kRandom };
constexpr const char* kFormNames[] = {"without-attention", "lone", "random"};

class AttentionSwitch final : public Observer {
 public:
  explicit AttentionSwitch(bool off) : off_(off) {}
  bool without_attention(Index) const override { return off_; }

 private:
  bool off_;
};

std::vector<TokenIds> alone(Index first, Index count) {
  std::vector<TokenIds> sequences;
  for (Index i = 0; i < count; ++i) sequences.push_back({static_cast<std::int32_t>(first + i)});
  return sequences;
}

/// One piece of one form, from the journal where it is there. `draws` may be null but for Form::kRandom.
std::vector<std::vector<float>> piece_norms(const Transformer& transformer, const EmbeddingDraws* draws,
                                            const std::vector<Index>& layer_indices, Form form, Index first,
                                            Index count, ScanJournal& journal) {
  std::string name = fmt::format("census-{}-{:05}", kFormNames[static_cast<int>(form)], first / kCensusPiece);
  for (const Index layer : layer_indices) name += fmt::format("-{}", layer + 1);
  std::vector<std::vector<float>> norms;
  if (const auto kept = journal.get(name)) {
    RecordReader reader(*kept);
    for (std::size_t i = 0; i < layer_indices.size(); ++i) norms.push_back(reader.list<float>());
    return norms;
  }
  Matrix states = form == Form::kRandom ? Matrix(count, transformer.model().config().hidden_size)
                                        : transformer.embed(Batch(alone(first, count)));
  if (form == Form::kRandom) draws->draw(first, states);
  norms = lone_norms(transformer, states, layer_indices, form == Form::kWithoutAttention);
  RecordWriter writer;
  for (const auto& values : norms) writer.list(values);
  journal.put(name, writer.bytes());
  return norms;
}

void summarize(const Tokenizer& tokenizer, double given_threshold, CensusLayer& layer) {
  NormTable table;
  for (std::size_t id = 0; id < layer.without_attention.size(); ++id)
    table.tokens.append_row({static_cast<std::int32_t>(id)});
  table.norms = {layer.without_attention};
  layer.median = ordinary_medians(table)[0];
  const HighNormSplit split = find_high_norms(table);
  layer.threshold_found = split.found;
  layer.threshold = split.found ? split.threshold : given_threshold;
  std::ranges::sort(layer.random);
  if (!(layer.threshold > 0)) return;
  const auto above = [&](const std::vector<float>& norms) {
    return static_cast<Index>(std::ranges::count_if(
        norms, [&](float value) { return static_cast<double>(value) > layer.threshold; }));
  };
  layer.high_without_attention = above(layer.without_attention);
  layer.high_lone = above(layer.lone);
  layer.high_random = above(layer.random);
  for (std::size_t id = 0; id < layer.without_attention.size(); ++id) {
    const double here = layer.without_attention[id], lone = layer.lone[id];
    if (here <= layer.threshold) continue;
    const auto token = static_cast<std::int32_t>(id);
    const bool named = static_cast<Index>(id) < tokenizer.size() && !tokenizer.token(token).empty();
    layer.spikes.push_back(
        {.id = token,
         .token = named ? readable_token(tokenizer, token) : fmt::format("<no entry {}>", id),
         .without_attention = here,
         .lone = lone,
         .initial = lone > layer.threshold});
  }
  std::ranges::stable_sort(layer.spikes, [](const CensusEntry& a, const CensusEntry& b) {
    return a.without_attention > b.without_attention;
  });
}

std::vector<std::string> notes_on(const ModelConfig& config, const Tokenizer& tokenizer) {
  std::vector<std::string> notes;
  if (config.architecture->position == PositionKind::kLearned)
    notes.emplace_back(
        "This family adds learned positions to embeddings: every entry carries the first position's vector, "
        "without attention too.");
  if (!config.causal)
    notes.emplace_back(
        "This model is no causal one: a lone token is a text of one token here, not the first of a longer "
        "one.");
  if (tokenizer.size() < config.vocab_size)
    notes.push_back(fmt::format("The embedding has {} rows that the tokenizer has no entry for.",
                                config.vocab_size - tokenizer.size()));
  return notes;
}

}  // namespace

void check_layers(const std::vector<Index>& layers, const Model& model, const std::string& option) {
  for (const Index layer : layers) {
    if (layer >= 1 && layer <= model.config().layers) continue;
    throw Error(ErrorKind::kUsage, {.what = option + " names a layer the model does not have",
                                    .expected = fmt::format("1 to {}", model.config().layers),
                                    .got = std::to_string(layer),
                                    .hint = "layers count from 1, as in the paper's figures"});
  }
}

std::vector<std::vector<float>> lone_norms(const Transformer& transformer, MatrixView states,
                                           const std::vector<Index>& layer_indices, bool without_attention) {
  AttentionSwitch observer(without_attention);
  const Batch batch(alone(0, states.rows()));
  std::vector<std::vector<float>> norms;
  Index next = 0;
  for (const Index wanted : layer_indices) {
    for (; next <= wanted; ++next) {
      check_interrupt();
      transformer.run_layer(next, batch, states, observer);
    }
    std::vector<float> values(static_cast<std::size_t>(states.rows()));
    parallel_ranges(states.rows(), 64, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i)
        values[static_cast<std::size_t>(i)] = static_cast<float>(norm(states.row(i)));
    });
    norms.push_back(std::move(values));
  }
  return norms;
}

std::vector<float> norms_without_attention(const Transformer& transformer, Index layer_index,
                                           ScanJournal& journal) {
  const Index entries = transformer.model().config().vocab_size;
  std::vector<float> all;
  Progress progress("Vocabulary without attention", entries);
  for (Index first = 0; first < entries; first += kCensusPiece) {
    const Index count = std::min(kCensusPiece, entries - first);
    const auto piece =
        piece_norms(transformer, nullptr, {layer_index}, Form::kWithoutAttention, first, count, journal);
    all.insert(all.end(), piece.front().begin(), piece.front().end());
    progress.advance(count);
  }
  return all;
}

Census take_census(const Transformer& transformer, const Tokenizer& tokenizer, const CensusOptions& options,
                   ScanJournal& journal) {
  const ModelConfig& config = transformer.model().config();
  if (options.layers.empty())
    throw Error(ErrorKind::kUsage, {.what = "this model has no explosion layer to take a census after",
                                    .expected = "an explosion layer",
                                    .hint = "name one with --layer N"});
  check_layers(options.layers, transformer.model(), "--layer");
  std::vector<Index> layer_indices;
  Census census;
  for (const Index layer : options.layers) {
    layer_indices.push_back(layer - 1);
    census.layers.emplace_back().layer = layer;
  }
  const EmbeddingDraws draws(transformer, options.paper_parity, options.seed);
  Progress progress("Taking the vocabulary's census",
                    3 * ((config.vocab_size + kCensusPiece - 1) / kCensusPiece));
  for (const Form form : {Form::kWithoutAttention, Form::kLone, Form::kRandom}) {
    for (Index first = 0; first < config.vocab_size; first += kCensusPiece) {
      const Index count = std::min(kCensusPiece, config.vocab_size - first);
      const auto norms = piece_norms(transformer, &draws, layer_indices, form, first, count, journal);
      for (std::size_t i = 0; i < norms.size(); ++i) {
        CensusLayer& layer = census.layers[i];
        std::vector<float>& all = form == Form::kWithoutAttention ? layer.without_attention
                                  : form == Form::kLone           ? layer.lone
                                                                  : layer.random;
        all.insert(all.end(), norms[i].begin(), norms[i].end());
      }
      progress.advance();
    }
  }
  for (CensusLayer& layer : census.layers) summarize(tokenizer, options.threshold, layer);
  census.notes = notes_on(config, tokenizer);
  return census;
}

}  // namespace defectoscope
