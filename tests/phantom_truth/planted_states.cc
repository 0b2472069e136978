#include "planted_states.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "base/random.h"
#include "kernels/pointwise.h"
#include "linearize/layer_operator.h"
#include "spectral/singular.h"

namespace defectoscope {
namespace {

enum class Kind { kFirst, kSpike, kOrdinary, kRepeat, kFirstSpike };

class Recorder : public Observer {
 public:
  Recorder(StateNorms& norms, std::vector<Kind> kinds) : norms_(norms), kinds_(std::move(kinds)) {}
  void on_states(Index layer_index, Tap tap, const Batch&, MatrixView states) override {
    if (tap != Tap::kEmbedding && tap != Tap::kAfterLayer) return;
    const auto layer = static_cast<std::size_t>(layer_index + 1);
    norms_.high_sum[layer].resize(static_cast<std::size_t>(states.cols()));
    for (Index row = 0; row < states.rows(); ++row) {
      const Kind kind = kinds_[static_cast<std::size_t>(row)];
      const double size = norm(states.row(row));
      if (kind == Kind::kFirst) norms_.first[layer].push_back(size);
      if (kind == Kind::kSpike) norms_.spikes[layer].push_back(size);
      if (kind == Kind::kOrdinary) norms_.ordinary[layer].push_back(size);
      if (kind != Kind::kFirst && kind != Kind::kSpike) continue;
      for (std::size_t i = 0; i < norms_.high_sum[layer].size(); ++i)
        norms_.high_sum[layer][i] += states.row(row)[i] / static_cast<float>(size);
    }
  }

 private:
  StateNorms& norms_;
  std::vector<Kind> kinds_;
};

}  // namespace

StateNorms measure_norms(const PhantomModel& phantom, Index rows, Index length, ComputeType compute) {
  const ModelConfig& config = phantom.model.config();
  Random random(phantom.truth.seed, stream_of("rows"));
  const std::vector<PlantedToken>& chosen = phantom.truth.spike_tokens;
  const auto is_chosen = [&](std::int32_t id) {
    return std::any_of(chosen.begin(), chosen.end(),
                       [&](const PlantedToken& token) { return token.id == id; });
  };
  std::vector<TokenIds> sequences;
  std::vector<Kind> kinds;
  for (Index row = 0; row < rows; ++row) {
    TokenIds tokens;
    bool repeating = true;
    for (Index i = 0; i < length; ++i) {
      const bool plant = !chosen.empty() && random.below(10) == 0;
      tokens.push_back(
          plant ? chosen[random.below(chosen.size())].id
                : static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(config.vocab_size))));
      repeating = repeating && tokens.back() == tokens.front();
      const bool spike = is_chosen(tokens.back());
      kinds.push_back(i == 0      ? (spike ? Kind::kFirstSpike : Kind::kFirst)
                      : spike     ? Kind::kSpike
                      : repeating ? Kind::kRepeat
                                  : Kind::kOrdinary);
    }
    sequences.push_back(std::move(tokens));
  }
  StateNorms norms;
  const auto layers = static_cast<std::size_t>(config.layers + 1);
  norms.first.resize(layers);
  norms.spikes.resize(layers);
  norms.ordinary.resize(layers);
  norms.high_sum.resize(layers);
  Recorder recorder(norms, std::move(kinds));
  TransformerOptions options;
  options.compute = compute;
  Transformer(phantom.model, options).run(Batch(std::move(sequences)), recorder);
  return norms;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}
double smallest(const std::vector<double>& values) {
  return values.empty() ? 0 : *std::min_element(values.begin(), values.end());
}
double largest(const std::vector<double>& values) {
  return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
}

double angle(std::span<const float> a, std::span<const float> b) {
  const double cosine = std::abs(dot(a, b)) / (norm(a) * norm(b));
  return std::acos(std::min(1.0, cosine)) * 180 / std::numbers::pi;
}

LinearView look_at_layer(const PhantomModel& phantom, Index layer_index) {
  const ModelConfig& config = phantom.model.config();
  const LinearizedLayer layer(phantom.model.layer(layer_index), config, {});
  LinearView view;
  const std::vector<float>& u = phantom.truth.u;
  SingularOptions search;
  search.count = 1;
  search.tolerance = 1e-3;
  search.max_passes = 30;
  const SingularTriplets whole = leading_singular(layer.form(LinearForm::kLayer), search);
  const SingularTriplets ffn = leading_singular(layer.form(LinearForm::kFfn), search);
  view.left_angle = angle(whole.left.row(0), u);
  view.ffn_left_angle = angle(ffn.left.row(0), u);
  view.ffn_right.assign(ffn.right.row(0).begin(), ffn.right.row(0).end());
  Matrix x(1, config.hidden_size), y(1, config.hidden_size);
  std::copy(u.begin(), u.end(), x.data());
  layer.form(LinearForm::kResidual).apply(x, y);
  view.rayleigh = dot(y.row(0), u);
  double square = 0;
  for (Index i = 0; i < config.hidden_size; ++i)
    square += std::pow(static_cast<double>(y(0, i)) - view.rayleigh * static_cast<double>(x(0, i)), 2);
  view.eigen_residual = std::sqrt(square);
  return view;
}

PhantomOptions quick_phantom_options(std::uint64_t seed) {
  PhantomOptions options = random_phantom_options(seed);
  PhantomShape& shape = options.shape;
  while (shape.hidden_size > 320) {
    shape.heads -= 2;
    if (shape.kv_heads > 1)
      shape.kv_heads = shape.kv_heads * 2 <= shape.heads ? shape.heads / 2 : shape.heads;
    shape.hidden_size = shape.heads * shape.head_dim;
  }
  shape.layers = 4 + static_cast<Index>(seed / 2 % 6);
  shape.ffn_size = 2 * shape.hidden_size;
  if (seed % 4 == 3) {
    shape.form = PhantomForm::kGpt2;
    shape.kv_heads = shape.heads;
    shape.ffn_size = 4 * shape.hidden_size;
    shape.tied_embeddings = true;
  }
  if (seed % 5 == 2) shape.tied_embeddings = true;
  Random random(seed, stream_of("quick phantom"));
  const bool two = shape.layers >= 6 && options.ratio >= 15 && seed % 3 == 1;
  const Index first = 2 + static_cast<Index>(random.below(2));
  options.explosion_layers = {first};
  if (two) options.explosion_layers.push_back(first + 1 + static_cast<Index>(random.below(2)));
  const Index last = options.explosion_layers.back();
  options.decay_layers = {std::max(last + 1, shape.layers - static_cast<Index>(random.below(2)))};
  return options;
}

}  // namespace defectoscope
