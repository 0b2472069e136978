#include "analysis/mechanism.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "analysis/at.h"
#include "analysis/record_fields.h"
#include "base/progress.h"
#include "base/random.h"
#include "forward/transformer.h"
#include "kernels/pointwise.h"
#include "spectral/singular.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {
namespace {

constexpr Index kDirections = 8;  // right singular vectors tried
constexpr std::size_t kSequencesAtOnce = 1024;

double mean(const std::vector<double>& values) {
  return values.empty()
             ? 0
             : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// Norms of each sequence's last token at every tap, and its component along one direction a layer, just
/// before the FFN.
struct PathNorms {
  std::vector<double> embedding;                                                      // [sequences]
  std::vector<std::vector<double>> before_attention, before_ffn, after, coefficient;  // [layers][sequences]

  PathNorms() = default;
  explicit PathNorms(Index layers)
      : before_attention(at(layers)), before_ffn(at(layers)), after(at(layers)), coefficient(at(layers)) {}
};
constexpr auto kEachOfPath = [](auto& path, const auto& field) {
  field(path.embedding);
  field(path.before_attention);
  field(path.before_ffn);
  field(path.after);
  field(path.coefficient);
};

class PathObserver final : public Observer {
 public:
  PathObserver(PathNorms& path, bool attention, const std::vector<std::vector<float>>& directions)
      : path_(path), attention_(attention), directions_(directions) {}

  void on_states(Index layer_index, Tap tap, const Batch& batch, MatrixView states) override {
    check_interrupt();
    for (std::size_t i = 0; i < batch.sequences.size(); ++i) {
      const auto row = states.row(batch.begin[i + 1] - 1);
      const double length = norm(row);
      if (tap == Tap::kEmbedding) {
        path_.embedding.push_back(length);
        continue;
      }
      const std::size_t layer = at(layer_index);
      if (tap == Tap::kBeforeAttention) path_.before_attention[layer].push_back(length);
      if (tap == Tap::kAfterLayer) path_.after[layer].push_back(length);
      if (tap != Tap::kBeforeFfn) continue;
      path_.before_ffn[layer].push_back(length);
      const auto& direction = directions_[layer];
      if (!direction.empty()) path_.coefficient[layer].push_back(std::abs(dot(row, direction)));
    }
  }
  bool without_attention(Index) const override { return !attention_; }
  bool stop_after(Index layer_index) const override {
    return layer_index + 1 == static_cast<Index>(path_.after.size());
  }

 private:
  PathNorms& path_;
  bool attention_;
  const std::vector<std::vector<float>>& directions_;
};

/// Runs sequences some at a time, in order.
void run(const Transformer& transformer, const std::vector<TokenIds>& sequences, PathObserver& observer) {
  for (std::size_t begin = 0; begin < sequences.size(); begin += kSequencesAtOnce) {
    const std::size_t end = std::min(sequences.size(), begin + kSequencesAtOnce);
    transformer.run(Batch({sequences.begin() + static_cast<std::ptrdiff_t>(begin),
                           sequences.begin() + static_cast<std::ptrdiff_t>(end)}),
                    observer);
  }
}

LonePath path_of(const PathNorms& norms, std::string token, bool parallel) {
  LonePath path;
  path.token = std::move(token);
  path.tokens = static_cast<Index>(norms.embedding.size());
  path.embedding = mean(norms.embedding);
  for (std::size_t i = 0; i < norms.after.size(); ++i) {
    PathStep step;
    step.layer = static_cast<Index>(i) + 1;
    step.before_attention = mean(norms.before_attention[i]);
    if (!parallel) step.before_ffn = mean(norms.before_ffn[i]);
    step.after = mean(norms.after[i]);
    path.steps.push_back(step);
  }
  return path;
}

std::vector<std::int32_t> drawn_entries(const Tokenizer& tokenizer, const ModelConfig& config,
                                        const MechanismOptions& options) {
  std::vector<std::int32_t> entries(at(std::min(tokenizer.size(), config.vocab_size)));
  std::iota(entries.begin(), entries.end(), 0);
  std::erase_if(entries, [&](std::int32_t id) { return tokenizer.token(id).empty(); });
  Random random(options.seed, stream_of("mechanism entries"));
  const auto wanted = std::min(entries.size(), at(options.entries));
  for (std::size_t i = 0; i < wanted; ++i)
    std::swap(entries[i], entries[i + random.below(entries.size() - i)]);
  entries.resize(wanted);
  std::ranges::sort(entries);
  return entries;
}

/// What goes before an entry at second position: the start token, or the entry's neighbour in the draw.
std::vector<TokenIds> second_positions(const std::vector<std::int32_t>& entries, std::int32_t start) {
  std::vector<TokenIds> sequences;
  for (std::size_t i = 0; i < entries.size(); ++i)
    sequences.push_back({start >= 0 ? start : entries[(i + 1) % entries.size()], entries[i]});
  return sequences;
}

Index above(const std::vector<double>& values, double threshold) {
  return std::ranges::count_if(values, [&](double value) { return value > threshold; });
}

/// The leading right singular vectors of a layer's F through its real FFN.
struct TriedDirections {
  double leading_output = 0, next_output = 0;  // as ExplosionEvidence
  std::vector<float> leading;                  // v1
};
constexpr auto kEachOfTried = [](auto& tried, const auto& field) {
  field(tried.leading_output);
  field(tried.next_output);
  field(tried.leading);
};

TriedDirections try_directions(const Model& model, const Transformer& transformer,
                               const MechanismOptions& options, Index layer_index) {
  const LinearizedLayer layer(model.layer(layer_index), model.config(), options.linearize);
  SingularOptions singular;
  singular.count = std::min(kDirections, model.config().hidden_size);
  singular.seed = Random(options.seed, static_cast<std::uint64_t>(layer_index)).next_u64();
  const SingularTriplets triplets = leading_singular(layer.form(LinearForm::kFfn), singular);
  const Index size = model.config().hidden_size, count = triplets.right.rows();
  Matrix input(2 * count, size), output(2 * count, size);
  for (Index i = 0; i < count; ++i)
    for (Index c = 0; c < size; ++c) {
      input(2 * i, c) = triplets.right(i, c);
      input(2 * i + 1, c) = -triplets.right(i, c);
    }
  transformer.run_ffn(layer_index, input, output);
  TriedDirections tried;
  for (Index i = 0; i < 2 * count; ++i) {
    double& reached = i < 2 ? tried.leading_output : tried.next_output;
    reached = std::max<double>(reached, norm(output.row(i)));
  }
  const auto leading = triplets.right.row(0);
  tried.leading.assign(leading.begin(), leading.end());
  return tried;
}

void add_decays(const ScanResult& scan, Mechanism& mechanism) {
  for (const FoundLayer& found : scan.decay_layers) {
    const LayerReport& report = scan.layer_reports[at(found.layer - 1)];
    DecayEvidence evidence;
    evidence.layer = found.layer;
    if (report.eigenvalue) evidence.eigenvalue_re = report.eigenvalue->real();
    evidence.eigenvector_angle_degrees = report.eigenvector_angle_degrees;
    evidence.decay_ratio = report.decay_ratio;
    mechanism.decays.push_back(evidence);
  }
}

}  // namespace

Mechanism explain_mechanism(const Model& model, const Tokenizer& tokenizer, const ScanResult& scan,
                            const MechanismOptions& options, ScanJournal& journal) {
  Mechanism mechanism;
  mechanism.threshold = scan.high_norm.threshold;
  if (scan.high_norm.count == 0) {
    mechanism.reason =
        "No token has a high norm in this model: there is nothing whose mechanism could be shown.";
    return mechanism;
  }
  add_decays(scan, mechanism);
  if (scan.explosion_layers.empty()) {
    mechanism.reason =
        "High norms exist, but no layer makes them abruptly: there is no explosion to explain.";
    return mechanism;
  }
  const ModelConfig& config = model.config();
  const bool parallel = config.architecture->residual != ResidualForm::kSequential;
  const Transformer transformer(model, {.compute = options.compute, .linear = {}, .keep_layers = false});

  // Every sequence is short; what takes time are the passes, one after another.
  const Index passes = 5;
  Progress progress("Following lone tokens", std::ssize(scan.explosion_layers) + passes);
  const std::string record = fmt::format("mechanism-{}", options.entries);
  std::vector<std::vector<float>> directions(at(config.layers));
  for (const FoundLayer& found : scan.explosion_layers) {
    const auto tried = kept_or_made<TriedDirections>(
        journal, fmt::format("{}-layer-{}", record, found.layer), kEachOfTried,
        [&] { return try_directions(model, transformer, options, found.layer - 1); });
    directions[at(found.layer - 1)] = tried.leading;
    const LayerReport& report = scan.layer_reports[at(found.layer - 1)];
    ExplosionEvidence evidence;
    evidence.layer = found.layer;
    evidence.leading_output = tried.leading_output;
    evidence.next_output = tried.next_output;
    evidence.left_angle_degrees = report.left_angle_degrees;
    evidence.ffn_left_angle_degrees = report.ffn_left_angle_degrees;
    mechanism.explosions.push_back(evidence);
    progress.advance();
  }
  const auto lone = [&](const std::string& name, const std::vector<TokenIds>& sequences, bool attention) {
    const auto path = kept_or_made<PathNorms>(journal, record + "-" + name, kEachOfPath, [&] {
      PathNorms made(scan.explosion_layers.back().layer);
      PathObserver observer(made, attention, directions);
      run(transformer, sequences, observer);
      return made;
    });
    progress.advance();
    return path;
  };

  // The most frequent spike token of each kind.
  for (const bool initial : {true, false}) {
    const auto& tokens = scan.high_norm.tokens;
    const auto token = std::ranges::find_if(
        tokens, [&](const SpikeToken& t) { return initial ? t.initial : t.non_initial && !t.initial; });
    if (token == tokens.end()) continue;
    const std::string name = initial ? "initial" : "later";
    mechanism.paths.push_back(path_of(lone(name, {{token->id}}, true), token->token, parallel));
  }

  const std::vector<std::int32_t> entries = drawn_entries(tokenizer, config, options);
  mechanism.entries = static_cast<Index>(entries.size());
  std::vector<TokenIds> singles;
  for (const std::int32_t id : entries) singles.push_back({id});
  const PathNorms first = lone("first", singles, true);
  const PathNorms bare = lone("bare", singles, false);
  // Rows of one token have no second position.
  const bool has_second = config.max_positions != 1;
  const PathNorms second =
      has_second ? lone("second", second_positions(entries, tokenizer.start_token()), true) : first;
  mechanism.paths.push_back(path_of(first, "", parallel));
  for (ExplosionEvidence& evidence : mechanism.explosions) {
    const auto layer = at(evidence.layer - 1);
    evidence.high_first = above(first.after[layer], mechanism.threshold);
    evidence.high_second = above(second.after[layer], mechanism.threshold);
    evidence.high_without_attention = above(bare.after[layer], mechanism.threshold);
    evidence.mean_first = mean(first.after[layer]);
    evidence.mean_second = mean(second.after[layer]);
    evidence.mean_without_attention = mean(bare.after[layer]);
    evidence.coefficient_first = mean(first.coefficient[layer]);
    evidence.coefficient_second = mean(second.coefficient[layer]);
  }
  return mechanism;
}

}  // namespace defectoscope
