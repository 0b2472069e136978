#include "analysis/trigger_inputs.h"

#include <algorithm>
#include <functional>

#include "analysis/angle.h"
#include "base/random.h"
#include "kernels/pointwise.h"
#include "linearize/layer_parts.h"
#include "linearize/quadratic.h"
#include "spectral/singular.h"

namespace defectoscope {
namespace {

constexpr Index kLinearStarts = 8, kNeuronStarts = 4, kQuadraticStarts = 2, kRandomStarts = 4;

/// Rows of a growing block of starting points.
class Starts {
 public:
  explicit Starts(Index d) : d_(d) {}
  void add(std::span<const float> x, bool both_signs) {
    if (!(norm(x) > 0)) return;
    for (const float sign : {1.0f, -1.0f}) {
      for (const float value : x) values_.push_back(sign * value);
      if (!both_signs) break;
    }
  }
  Index count() const { return static_cast<Index>(values_.size()) / d_; }
  ConstMatrixView rows() const { return {values_.data(), count(), d_}; }

 private:
  Index d_;
  std::vector<float> values_;
};

/// An FFN as this file needs it.
struct AnyFfn {
  std::function<void(ConstMatrixView, MatrixView)> apply;
  double radius;
};

/// ±x through the FFN; the sign that reaches more.
TriggerInput through_ffn(const AnyFfn& ffn, std::span<const float> x, std::span<const float> direction) {
  const auto d = static_cast<Index>(x.size());
  const double length = norm(x);
  Matrix in(2, d), out(2, d);
  for (Index i = 0; i < d; ++i) {
    in(0, i) = static_cast<float>(ffn.radius * static_cast<double>(x[static_cast<std::size_t>(i)]) / length);
    in(1, i) = -in(0, i);
  }
  ffn.apply(in, out);
  const Index better = norm(out.row(1)) > norm(out.row(0)) ? 1 : 0;
  TriggerInput result;
  result.norm = norm(out.row(better));
  for (const float value : in.row(better)) result.input.push_back(static_cast<float>(value / ffn.radius));
  if (result.norm > 0) {
    for (const float value : out.row(better))
      result.output.push_back(static_cast<float>(static_cast<double>(value) / result.norm));
    if (!direction.empty()) result.output_angle_degrees = acute_angle_degrees(result.output, direction);
  }
  return result;
}

void climb(const RealFfn& ffn, const Starts& starts, std::span<const float> direction, TriggerInputs& found) {
  found.starts = starts.count();
  const std::vector<LocalMaximum> ends = ascend(ffn, starts.rows(), {});
  const auto best = std::ranges::max_element(ends, {}, &LocalMaximum::value);
  found.maximiser = {
      .input = best->x, .norm = best->value, .output = best->output, .output_angle_degrees = {}};
  if (!direction.empty() && !best->output.empty())
    found.maximiser.output_angle_degrees = acute_angle_degrees(best->output, direction);
  found.stationarity = best->stationarity;
  found.converged = best->converged;
  found.linear_maximiser_degrees = acute_angle_degrees(found.linear.input, found.maximiser.input);
  found.quadratic_maximiser_degrees = acute_angle_degrees(found.quadratic.input, found.maximiser.input);
}

}  // namespace

TriggerInputs find_trigger_inputs(const Transformer& transformer, Index layer_index,
                                  const LinearizedLayer& layer, ConstMatrixView more_starts,
                                  std::span<const float> direction, std::uint64_t seed) {
  const ModelConfig& config = transformer.model().config();
  const Index d = config.hidden_size;
  std::optional<RealFfn> real;
  if (!layer.weights().experts.defined()) real.emplace(layer.weights(), config);
  const AnyFfn ffn{[&](ConstMatrixView x, MatrixView y) {
                     if (real)
                       real->apply(x, y);
                     else
                       transformer.run_ffn(layer_index, x, y);
                   },
                   ffn_radius(layer.weights(), config)};
  TriggerInputs found;
  Starts starts(d);

  const SingularTriplets linear = leading_singular(
      layer.form(LinearForm::kFfn), {.count = kLinearStarts, .block = 2 * kLinearStarts, .seed = seed});
  found.linear = through_ffn(ffn, linear.right.row(0), direction);
  for (Index i = 0; i < linear.right.rows(); ++i) starts.add(linear.right.row(i), true);

  const auto left = linear.left.row(0);
  const QuadraticForm amplifier(layer, std::vector<double>(left.begin(), left.end()));
  const SymmetricPairs quadratic = leading_symmetric(amplifier, {.count = kQuadraticStarts, .seed = seed});
  for (const SymmetricPair& pair : quadratic.pairs) {
    const std::vector<float> x(pair.x.begin(), pair.x.end());
    starts.add(x, true);
    const TriggerInput candidate = through_ffn(ffn, x, direction);
    // The leading pair is the prediction; the others are places to start from.
    if (found.quadratic.input.empty()) found.quadratic = candidate;
  }
  found.linear_quadratic_degrees = acute_angle_degrees(found.linear.input, found.quadratic.input);
  found.has_maximiser = real.has_value();
  if (!real) return found;
  const Matrix neurons = layer.parts().strongest_rows(kNeuronStarts);
  for (Index i = 0; i < neurons.rows(); ++i) starts.add(neurons.row(i), true);
  Random random(seed, 1);
  std::vector<float> point(static_cast<std::size_t>(d));
  for (Index i = 0; i < kRandomStarts; ++i) {
    for (float& value : point) value = static_cast<float>(random.normal());
    starts.add(point, false);
  }
  for (Index i = 0; i < more_starts.rows(); ++i) starts.add(more_starts.row(i), false);

  climb(*real, starts, direction, found);
  return found;
}

}  // namespace defectoscope
