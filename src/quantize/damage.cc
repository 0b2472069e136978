#include "quantize/damage.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "analysis/scan_result.h"
#include "base/progress.h"
#include "base/random.h"
#include "kernels/pointwise.h"
#include "kernels/quantize.h"

namespace defectoscope {
namespace {

struct Sums {
  double ratio = 0;
  Index rows = 0;
  float input_max = 0, ordinary_max = 0;
};

/// Passes the dense output on and keeps how far the quantized one is from it.
class MeasuringLinear final : public Linear {
 public:
  MeasuringLinear(std::unique_ptr<Linear> dense, std::unique_ptr<Linear> quantized, Index window,
                  const Index& special, Sums& sums)
      : dense_(std::move(dense)),
        quantized_(std::move(quantized)),
        window_(window),
        special_(special),
        sums_(sums) {}

  void apply_at(ConstMatrixView x, std::span<const Index> places, MatrixView y) const override {
    Matrix other(y.rows(), y.cols());
    quantized_->apply_at(x, places, other);
    dense_->apply_at(x, places, y);
    for (Index r = 0; r < y.rows(); ++r) {
      const float most = max_abs(x.row(r));
      sums_.input_max = std::max(sums_.input_max, most);
      const Index place = places.empty() ? r : places[static_cast<std::size_t>(r)];
      if (place % window_ >= special_) sums_.ordinary_max = std::max(sums_.ordinary_max, most);
      double error = 0;
      for (Index c = 0; c < y.cols(); ++c) {
        const double difference = double{other(r, c)} - double{y(r, c)};
        error += difference * difference;
      }
      const double size = norm(y.row(r));
      if (size == 0) continue;
      sums_.ratio += error / (size * size);
      ++sums_.rows;
    }
  }

 private:
  std::unique_ptr<Linear> dense_, quantized_;
  Index window_;
  const Index& special_;  ///< rows that a window begins with and that are no ordinary tokens
  Sums& sums_;
};

/// A transformer that measures all its matmuls.
class Meter {
 public:
  Meter(const Model& model, const QuantizedModelOptions& options, bool keep_layers) : model_(model) {
    const LinearFactory quantize = quantized(model, options).linear;
    transformer_ = std::make_unique<Transformer>(
        model, TransformerOptions{
                   .compute = options.compute,
                   .linear = [this, quantize, options](
                                 ModuleId id, const LinearWeights& weights) -> std::unique_ptr<Linear> {
                     auto dense = make_dense_linear(weights, options.compute);
                     if (!is_quantizable(id.module) || options.skipped.contains(id)) return dense;
                     return std::make_unique<MeasuringLinear>(std::move(dense), quantize(id, weights),
                                                              options.window, special_, sums_[id]);
                   },
                   .keep_layers = keep_layers});
  }

  const Transformer& transformer() const { return *transformer_; }
  void set_special(Index rows) { special_ = rows; }
  std::vector<ModuleDamage> result() const {
    std::vector<ModuleDamage> damage;
    for (const ModuleId id : quantizable_modules(model_)) {
      const auto found = sums_.find(id);
      if (found == sums_.end()) continue;
      const Sums& sums = found->second;
      const double mean = sums.rows == 0 ? 0 : sums.ratio / static_cast<double>(sums.rows);
      damage.push_back({id, std::sqrt(mean), sums.input_max, sums.ordinary_max, sums.rows});
    }
    return damage;
  }

 private:
  const Model& model_;
  std::map<ModuleId, Sums> sums_;
  Index special_ = 0;
  std::unique_ptr<Transformer> transformer_;
};

void set_row(std::span<float> row, std::span<const float> direction, double length) {
  const double size = norm(direction);
  for (std::size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>(direction[i] * length / size);
}

/// Ranks from 1, equal values sharing their mean.
std::vector<double> ranks(std::span<const double> values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return values[i]; });
  std::vector<double> result(values.size());
  for (std::size_t first = 0; first < order.size();) {
    std::size_t last = first;
    while (last < order.size() && values[order[last]] == values[order[first]]) ++last;
    for (std::size_t i = first; i < last; ++i) result[order[i]] = static_cast<double>(first + last + 1) / 2;
    first = last;
  }
  return result;
}

}  // namespace

std::vector<ModuleDamage> measure_damage(const Model& model, const QuantizedModelOptions& options,
                                         std::span<const std::int32_t> tokens, const WindowOptions& windows) {
  const TextWindows text(model, tokens, windows);
  QuantizedModelOptions own = options;
  own.window = text.length();
  Meter meter(model, own, true);
  Progress progress("Measuring each matmul", text.count());
  for (Index first = 0; first < text.count(); first += text.per_pass()) {
    const Index last = std::min(first + text.per_pass(), text.count());
    meter.transformer().final_states(text.batch(first, last));
    progress.advance(last - first);
  }
  return meter.result();
}

std::vector<ModuleDamage> forecast_damage(const Model& model, const QuantizedModelOptions& options,
                                          const ScanResult& scan, std::uint64_t seed) {
  constexpr Index kWindows = 4, kTokens = 64, kSpecial = 2;
  const ModelConfig& config = model.config();
  const Index length = config.max_positions > 0 ? std::min(kTokens, config.max_positions) : kTokens;
  const std::vector<float>& direction = scan.high_norm.direction;
  QuantizedModelOptions own = options;
  own.window = length;
  Meter meter(model, own, false);
  const Batch batch(std::vector<TokenIds>(kWindows, TokenIds(static_cast<std::size_t>(length), 0)));
  Observer nothing;
  Progress progress("Forecasting the damage", config.layers);
  for (Index layer = 0; layer < config.layers; ++layer) {
    const LayerNorms& norms = scan.norms[static_cast<std::size_t>(layer)];
    const LayerReport& report = scan.layer_reports[static_cast<std::size_t>(layer)];
    const bool high = !direction.empty() && norms.max > scan.high_norm.threshold;
    const bool explodes = std::ranges::any_of(
        scan.explosion_layers, [&](const FoundLayer& found) { return found.layer == layer + 1; });
    meter.set_special(high || explodes ? kSpecial : 0);
    Matrix states(batch.rows(), config.hidden_size);
    Random random(seed, stream_of("forecast") + static_cast<std::uint64_t>(layer));
    std::vector<float> drawn(static_cast<std::size_t>(config.hidden_size));
    for (Index r = 0; r < states.rows(); ++r) {
      for (float& value : drawn) value = static_cast<float>(random.normal());
      set_row(states.row(r), drawn, norms.median);
      const Index place = r % length;
      if (place >= kSpecial) continue;
      if (explodes && !report.right.empty())
        set_row(states.row(r), report.right, place == 0 ? norms.median : -norms.median);
      if (high && place == 0) set_row(states.row(r), direction, norms.max);
    }
    meter.transformer().run_layer(layer, batch, states, nothing);
    progress.advance();
  }
  return meter.result();
}

std::optional<double> rank_correlation(std::span<const double> a, std::span<const double> b) {
  if (a.size() < 3) return std::nullopt;
  const std::vector<double> x = ranks(a), y = ranks(b);
  const double mean = static_cast<double>(a.size() + 1) / 2;
  double xy = 0, xx = 0, yy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xy += (x[i] - mean) * (y[i] - mean);
    xx += (x[i] - mean) * (x[i] - mean);
    yy += (y[i] - mean) * (y[i] - mean);
  }
  if (xx == 0 || yy == 0) return std::nullopt;
  return xy / std::sqrt(xx * yy);
}

}  // namespace defectoscope
