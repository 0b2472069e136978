#include "synthesis/phantom_plan.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>

#include "base/random.h"
#include "synthesis/phantom_circuits.h"

namespace defectoscope {
namespace {

/// Shares of the embedding's squared norm; the rest is noise of fixed length.
constexpr double kCodeShare = 0.2;
constexpr double kCopyOfCode = 0.5;   // amplitude of the copied code relative to the own one
constexpr double kTotalGrowth = 1.6;  // of an ordinary token's norm, first to last layer
constexpr double kEarlyGrowth =
    0.006;  // of the energy, all layers up to the explosion together: it feeds on them
constexpr double kSharedAttention = 0.15;  // of a lone token's attention output, where many are averaged
constexpr double kWantedGain = 60;         // singular value of the trigger neuron, as far as there is room
constexpr double kLogitSpread = 2.5;       // standard deviation of the logits
constexpr double kBonus = 2;               // component along bonus, where an embedding's entries are about 1
constexpr double kFirstShare = 0.4;        // of the lift, made by the first of several explosion layers

SparseVector take_direction(std::vector<Index>& free, Index pairs, Random& random) {
  SparseVector direction;
  double square = 0;
  for (Index pair = 0; pair < pairs; ++pair) {
    const double size = std::pow(0.6, static_cast<double>(pair)) * (0.8 + 0.4 * random.uniform());
    for (const double sign : {1.0, -1.0}) {
      direction.emplace_back(free.back(), sign * size);
      free.pop_back();
      square += size * size;
    }
  }
  return scaled(direction, 1 / std::sqrt(square));
}

std::vector<Index> take_coordinates(std::vector<Index>& free, Index count) {
  const std::vector<Index> taken(free.end() - count, free.end());
  free.resize(free.size() - static_cast<std::size_t>(count));
  return taken;
}

/// Channels of the code: 128 where there is room, else 64, 48 or 32; all of it in few heads.
Index code_length(const PhantomShape& shape) {
  Index length = shape.hidden_size >= 768 ? 128 : shape.hidden_size >= 256 ? 64 : 48;
  length = std::min(length, shape.kv_heads * shape.head_dim);
  const Index heads = (length + shape.head_dim - 1) / shape.head_dim;
  return length / (2 * heads) * (2 * heads);
}

double expected_square_of_activation(PhantomForm form) {
  // E[silu(z)²] and E[gelu(z)²], z ~ N(0, 1).
  return form == PhantomForm::kLlama ? 0.3558 : 0.4252;
}

/// Builds the plan layer by layer while it follows the norms of three kinds of token.
class Planner {
 public:
  explicit Planner(PhantomPlan& plan)
      : plan_(plan),
        options_(plan.options),
        shape_(plan.options.shape),
        d_(static_cast<double>(shape_.hidden_size)),
        frame_{shape_.form, shape_.hidden_size, shape_.head_dim, shape_.heads / shape_.kv_heads,
               plan.layout, plan.amplitudes} {}

  void run() {
    const double rise = std::pow(kTotalGrowth, 2 / static_cast<double>(2 * shape_.layers)) - 1;
    growth_.assign(static_cast<std::size_t>(shape_.layers), rise);
    const Index early = options_.explosion_layers.back();
    for (Index l = 0; l < early; ++l)
      growth_[static_cast<std::size_t>(l)] = std::min(rise, kEarlyGrowth / static_cast<double>(2 * early));
    choose_amplitudes();
    schedule();
    plan_.layers.resize(static_cast<std::size_t>(shape_.layers));
    record();
    for (Index layer = 1; layer <= shape_.layers; ++layer) plan_layer(layer);
    finish();
  }

 private:
  bool initial() const {
    return options_.variant != PhantomVariant::kNonInitialOnly &&
           options_.variant != PhantomVariant::kEveryToken;
  }
  bool every() const { return options_.variant == PhantomVariant::kEveryToken; }
  Index first_explosion() const { return options_.explosion_layers.front(); }
  bool copies(Index layer) const { return initial() && layer + 1 == first_explosion(); }
  double grow(Index layer) const { return growth_[static_cast<std::size_t>(layer - 1)]; }
  double copy_energy() const {
    double square = 0;
    for (Index i = 0; i < static_cast<Index>(plan_.layout.code.size()); ++i)
      square += std::pow(plan_.amplitudes.copy * copy_factor(i), 2);
    return square;
  }

  void choose_amplitudes() {
    Amplitudes& size = plan_.amplitudes;
    const auto channels = static_cast<double>(plan_.layout.code.size());
    size.code = std::sqrt(kCodeShare * d_ / channels);
    size.copy = kCopyOfCode * size.code;
    size.threshold = static_cast<double>(plan_.codes.largest_product()) / channels + 0.1;
    double square = d_ + (shape_.tied_embeddings ? kBonus * kBonus : 0);
    for (Index layer = 1; layer <= options_.explosion_layers.back(); ++layer) {
      square *= 1 + grow(layer);
      if (copies(layer)) square += copy_energy();
      square *= 1 + grow(layer);
    }
    size.lift = std::sqrt((options_.ratio * options_.ratio - 1) * square);
    // The neuron's closed-form gain is about 0.84 lift / ((1 − threshold) level²).
    const double level_square = 0.84 * size.lift / ((1 - size.threshold) * kWantedGain);
    size.trigger = std::sqrt(std::clamp(level_square, 1.0, 0.08 * d_) * square / d_);
    size.constant = size.trigger;
    if (shape_.tied_embeddings) {
      size.head_gain = kLogitSpread / std::sqrt(d_);
      size.bonus = kBonus;
    }
  }

  /// What each layer does to u, and the truth about it.
  void schedule() {
    PhantomTruth& truth = plan_.truth;
    lifts_.assign(static_cast<std::size_t>(shape_.layers + 1), 0);
    const double lift = plan_.amplitudes.lift;
    const std::vector<Index>& explosions = options_.explosion_layers;
    const auto at = [&](Index layer) -> double& { return lifts_[static_cast<std::size_t>(layer)]; };
    if (options_.variant == PhantomVariant::kGradual) {
      const Index last = std::min(options_.decay_layers.front() - 1,
                                  first_explosion() + std::max<Index>(2, shape_.layers / 2));
      for (Index layer = first_explosion(); layer <= last; ++layer) truth.growth_layers.push_back(layer);
      for (const Index layer : truth.growth_layers)
        at(layer) = lift / static_cast<double>(truth.growth_layers.size());
    } else if (other_tokens() || explosions.size() == 1) {
      for (const Index layer : explosions) at(layer) = lift;
      (every() ? truth.leap_layers : truth.explosion_layers) = explosions;
    } else {
      for (const Index layer : explosions)
        at(layer) = layer == explosions.front()
                        ? kFirstShare * lift
                        : (1 - kFirstShare) * lift / static_cast<double>(explosions.size() - 1);
      truth.explosion_layers = explosions;
    }
    truth.decay_layers = options_.decay_layers;
    for (const Index layer : options_.decay_layers)
      at(layer) = -lift / static_cast<double>(options_.decay_layers.size());
    truth.initial_tokens = initial();
  }

  bool other_tokens() const {
    return options_.explosion_layers.size() == 2 && options_.second == SecondExplosion::kOtherTokens;
  }

  void plan_layer(Index layer) {
    LayerPlan& plan = plan_.layers[static_cast<std::size_t>(layer - 1)];
    const bool lone_is_high = high_ > 0;
    const double growth = grow(layer);
    const auto writers = static_cast<double>(plan_.layout.ordinary.size());
    const double attention_inputs = static_cast<double>(shape_.heads * shape_.head_dim);
    plan.attention_write_std = std::sqrt(growth * ordinary_ / (writers * attention_inputs));
    if (copies(layer)) plan.heads = copy_heads(frame_, rms(lone_));
    if (sinks(layer)) add_sinks(plan);
    ordinary_ *= 1 + kSharedAttention * growth;
    spike_ *= 1 + kSharedAttention * growth;
    if (!lone_is_high) lone_ *= 1 + growth;
    if (copies(layer)) {
      lone_ += copy_energy();
      ordinary_ += 0.5 * copy_energy();  // later tokens mix several codes
    }

    // Lognormal row scales of `up` (phantom_tensors.cc) have mean square one.
    plan.ffn_write_std = std::sqrt(
        growth * ordinary_ /
        (writers * static_cast<double>(shape_.ffn_size) * expected_square_of_activation(shape_.form)));
    if (copies(layer)) plan.neurons = agreement_neurons(frame_, plan_.layout.v[0], rms(lone_));
    if (lifts_[static_cast<std::size_t>(layer)] != 0) plan.neurons.push_back(lifting_neuron(layer));
    ordinary_ *= 1 + growth;
    spike_ *= 1 + growth;
    if (!lone_is_high) lone_ *= 1 + growth;
    if (copies(layer)) lone_ += plan_.amplitudes.trigger * plan_.amplitudes.trigger;
    if (layer == 1 && shape_.tied_embeddings) write_bonus(plan);
    record();
  }

  double rms(double square) const { return std::sqrt(square / d_); }

  PlannedNeuron lifting_neuron(Index layer) {
    const double lift = lifts_[static_cast<std::size_t>(layer)];
    if (every()) {
      high_ += lift;
      return common_neuron(frame_, plan_.layout.u, rms(ordinary_), lift);
    }
    const bool own_trigger = other_tokens() && layer == options_.explosion_layers[1];
    if (high_ == 0 || own_trigger) {
      const SparseVector& v = plan_.layout.v[own_trigger ? 1 : 0];
      const bool by_lone = initial() && !own_trigger;
      const double level = plan_.amplitudes.trigger;
      const double scale = by_lone ? rms(lone_) : rms(spike_ + level * level);
      const PlannedNeuron neuron = trigger_neuron(frame_, v, level, scale, lift);
      if (!by_lone) plan_.amplitudes.embedded = level;
      if (by_lone && !other_tokens()) plan_.amplitudes.embedded = matching_level(level, scale);
      add_explosion(layer, v, neuron, false, by_lone, !by_lone || !other_tokens());
      high_ = own_trigger ? high_ : lift;
      return neuron;
    }
    const PlannedNeuron neuron = scaling_neuron(frame_, high_, std::sqrt(lone_), lift);
    if (lift > 0) add_explosion(layer, plan_.layout.u, neuron, true, true, true);
    high_ += lift;
    if (high_ < 1e-6 * plan_.amplitudes.lift) high_ = 0;
    return neuron;
  }

  /// Level along v that a chosen token's embedding needs to open the same neuron as far as a lone token does,
  /// though its norm differs.
  double matching_level(double lone_level, double lone_rms) const {
    const double threshold = plan_.amplitudes.threshold * plan_.amplitudes.trigger;
    const auto response = [&](double level, double scale) {
      const double gate = (level - threshold) / scale;
      return shape_.form == PhantomForm::kLlama ? gate * level / scale : gate;
    };
    const double wanted = response(lone_level, lone_rms);
    double low = threshold, high = 4 * lone_level;
    for (int step = 0; step < 60; ++step) {
      const double middle = 0.5 * (low + high);
      (response(middle, rms(spike_ + middle * middle)) < wanted ? low : high) = middle;
    }
    return low;
  }

  void add_explosion(Index layer, const SparseVector& v, const PlannedNeuron& neuron, bool amplifies,
                     bool first, bool later) {
    if (options_.variant == PhantomVariant::kGradual) return;
    PlantedExplosion explosion;
    explosion.layer = layer;
    explosion.amplifies = amplifies;
    explosion.initial = first;
    explosion.non_initial = later && options_.spike_tokens > 0;
    explosion.v = dense(v);
    explosion.trigger = dense(linear_reading(frame_, neuron));
    plan_.truth.explosions.push_back(std::move(explosion));
  }

  std::vector<float> dense(const SparseVector& vector) const {
    std::vector<float> values(static_cast<std::size_t>(shape_.hidden_size));
    for (const auto& [i, value] : vector) values[static_cast<std::size_t>(i)] += static_cast<float>(value);
    return values;
  }

  /// Between explosion and decay a quarter of the heads draw attention to the high-norm tokens.
  bool sinks(Index layer) const { return !every() && high_ > 0 && layer > first_explosion(); }
  void add_sinks(LayerPlan& plan) {
    const Index group = shape_.heads / shape_.kv_heads;
    for (Index kv = shape_.kv_heads - std::max<Index>(1, shape_.kv_heads / 4); kv < shape_.kv_heads; ++kv)
      for (Index q = kv * group; q < (kv + 1) * group; ++q) {
        plan.heads.push_back(sink_head(frame_, kv, q, rms(ordinary_)));
        if (q != kv * group) plan.heads.back().key.clear();
      }
  }

  /// Where the head is tied the first layer writes a constant along `bonus`, from which the head raises and
  /// lowers entries. Early, because a high token would not get it.
  void write_bonus(LayerPlan& plan) {
    const double bonus = plan_.amplitudes.bonus;
    plan.neurons.push_back(common_neuron(frame_, plan_.layout.bonus, rms(ordinary_), bonus));
    for (double* square : {&ordinary_, &lone_, &spike_}) *square += bonus * bonus;
  }

  void record() {
    plan_.truth.expected_high_norms.push_back(std::sqrt((every() ? ordinary_ : lone_) + high_ * high_));
    plan_.truth.expected_ordinary_norms.push_back(std::sqrt(ordinary_ + (every() ? high_ * high_ : 0)));
  }

  void finish() {
    PhantomTruth& truth = plan_.truth;
    truth.u = dense(plan_.layout.u);
    truth.ratio = options_.ratio;
    truth.high_norm = plan_.amplitudes.lift;
    plan_.final_rms = rms(ordinary_);
  }

  PhantomPlan& plan_;
  const PhantomOptions& options_;
  const PhantomShape& shape_;
  double d_;
  CircuitFrame frame_;
  std::vector<double> growth_;  ///< [layers] relative energy each half of a layer adds
  std::vector<double> lifts_;   ///< [layers + 1] along u, by 1-based layer
  /// Squared norms without u of an ordinary token, of one that is alone and, without v, of a chosen one.
  double ordinary_ = d_, lone_ = d_, spike_ = d_;
  double high_ = 0;  ///< along u, of an exploded token
};

void choose_spikes(PhantomPlan& plan) {
  const PhantomOptions& options = plan.options;
  plan.is_spike.assign(static_cast<std::size_t>(options.shape.vocab_size), false);
  if (options.variant == PhantomVariant::kEveryToken) return;
  Random random(options.seed, stream_of("phantom spikes"));
  for (Index i = 0; i < options.spike_tokens; ++i) {
    Index id = i == 0 ? plan.tokenizer.find(".") : plan.tokenizer.find("\u010a");  // newline
    while (i > 1 && (plan.tokenizer.is_unusual(id) || plan.is_spike[static_cast<std::size_t>(id)]))
      id = static_cast<Index>(random.below(static_cast<std::uint64_t>(options.shape.vocab_size)));
    plan.is_spike[static_cast<std::size_t>(id)] = true;
    plan.truth.spike_tokens.push_back({static_cast<std::int32_t>(id), plan.tokenizer.token(id)});
  }
}

}  // namespace

SparseVector scaled(const SparseVector& vector, double factor) {
  SparseVector result = vector;
  for (auto& entry : result) entry.second *= factor;
  return result;
}

SparseVector sum(const SparseVector& a, const SparseVector& b) {
  SparseVector result = a;
  for (const auto& [i, value] : b) {
    const auto at =
        std::find_if(result.begin(), result.end(), [i = i](const auto& e) { return e.first == i; });
    if (at == result.end())
      result.emplace_back(i, value);
    else
      at->second += value;
  }
  return result;
}

double copy_factor(Index channel) {
  if (channel == 0) return 2;
  const double turns = 0.6180339887498949 * static_cast<double>(channel);
  return 0.8 + 0.4 * (turns - std::floor(turns));
}

StreamLayout make_layout(const PhantomOptions& options) {
  const PhantomShape& shape = options.shape;
  Random random(options.seed, stream_of("phantom layout"));
  std::vector<Index> free(static_cast<std::size_t>(shape.hidden_size));
  std::iota(free.begin(), free.end(), 0);
  for (std::size_t i = free.size() - 1; i > 0; --i) std::swap(free[i], free[random.below(i + 1)]);

  StreamLayout layout;
  const Index pairs = shape.hidden_size >= 256 ? 4 : 3;
  layout.u = take_direction(free, pairs, random);
  layout.v = {take_direction(free, pairs, random), take_direction(free, pairs, random)};
  layout.c = take_direction(free, 1, random);
  layout.bonus = take_direction(free, 1, random);
  const Index length = code_length(shape);
  layout.code = take_coordinates(free, length);
  layout.copy = take_coordinates(free, length);
  layout.code_heads = (length + shape.head_dim - 1) / shape.head_dim;
  layout.ordinary = free;
  layout.reads.assign(static_cast<std::size_t>(shape.hidden_size), 1);
  layout.writes.assign(static_cast<std::size_t>(shape.hidden_size), 0);
  for (const SparseVector* vector : {&layout.u, &layout.v[0], &layout.v[1], &layout.c, &layout.bonus})
    for (const auto& entry : *vector) layout.reads[static_cast<std::size_t>(entry.first)] = 0;
  for (const Index i : layout.ordinary) layout.writes[static_cast<std::size_t>(i)] = 1;
  return layout;
}

PhantomPlan make_plan(const PhantomOptions& options) {
  const PhantomOptions full = resolved(options);
  assert(full.variant != PhantomVariant::kNone);
  StreamLayout layout = make_layout(full);
  const auto length = static_cast<Index>(layout.code.size());
  PhantomPlan plan{full,
                   std::move(layout),
                   {},
                   TokenCodes(full.shape.vocab_size, length, full.seed),
                   PhantomTokenizer(full.shape, full.add_start_token),
                   {},
                   {},
                   1,
                   {}};
  plan.truth.variant = full.variant;
  plan.truth.seed = full.seed;
  choose_spikes(plan);
  Planner(plan).run();
  return plan;
}

}  // namespace defectoscope
