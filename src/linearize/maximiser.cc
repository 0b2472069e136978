#include "linearize/maximiser.h"

#include <algorithm>
#include <cmath>

#include "base/progress.h"
#include "spectral/basis.h"

namespace defectoscope {
namespace {

constexpr double kFirstAngle = 0.2;  // radians of a first step
constexpr double kLargestAngle = 0.8;
constexpr double kSmallestAngle = 1e-6;  // below it f32 sees no difference
constexpr double kArmijo = 1e-4;

using Vector = std::vector<double>;

double product(const Vector& a, const Vector& b) {
  return dot(std::span<const double>(a), std::span<const double>(b));
}

/// v minus its part along the unit vector x.
void make_tangent(const Vector& x, Vector& v) {
  const double along = product(x, v);
  for (std::size_t i = 0; i < v.size(); ++i) v[i] -= along * x[i];
}

/// One point's way up. All vectors are on or tangent to the unit sphere; values are f(radius · x).
struct Climber {
  Vector x, gradient, direction;  ///< unit; tangential gradient per radian; ascent direction
  double value = 0, start_value = 0;
  double angle = kFirstAngle;
  Vector trial;
  bool restarted = true;  ///< direction is the gradient
  bool done = false;

  double stationarity() const { return value > 0 ? std::sqrt(product(gradient, gradient)) / value : 0; }

  void propose() {
    const double length = std::sqrt(product(direction, direction));
    trial.resize(x.size());
    for (std::size_t i = 0; i < x.size(); ++i)
      trial[i] = std::cos(angle) * x[i] + std::sin(angle) * direction[i] / length;
    const double size = std::sqrt(product(trial, trial));
    for (double& value_i : trial) value_i /= size;
  }

  void restart() {
    direction = gradient;
    restarted = true;
  }

  /// The value and the ambient gradient (times radius) at the trial point.
  void judge(double reached, Vector slope_there, double tolerance) {
    const double slope = product(gradient, direction) / std::sqrt(product(direction, direction));
    if (reached >= value + kArmijo * angle * slope) {
      make_tangent(trial, slope_there);
      make_tangent(trial, direction);  // carried along
      make_tangent(trial, gradient);
      const double before = product(gradient, gradient);
      const double beta =
          before > 0
              ? std::max(0.0, (product(slope_there, slope_there) - product(slope_there, gradient)) / before)
              : 0;
      for (std::size_t i = 0; i < direction.size(); ++i) direction[i] = slope_there[i] + beta * direction[i];
      x = trial;
      gradient = std::move(slope_there);
      value = reached;
      restarted = beta == 0;
      if (!(product(direction, gradient) > 0)) restart();
      angle = std::min(2 * angle, kLargestAngle);
      done = stationarity() <= tolerance;
      return;
    }
    // The parabola through what is known says where to try next.
    const double missing = value + angle * slope - reached;
    const double next = missing > 0 ? 0.5 * slope * angle * angle / missing : 0;
    angle = std::clamp(next, 0.1 * angle, 0.5 * angle);
    if (angle >= kSmallestAngle) return;
    if (restarted) {
      done = true;
      return;
    }
    restart();
    angle = 1e-2;
  }
};

}  // namespace

std::vector<LocalMaximum> ascend(const RealFfn& ffn, ConstMatrixView starts,
                                 const MaximiserOptions& options) {
  const Index d = ffn.hidden_size();
  const double radius = ffn.radius();
  std::vector<Climber> climbers(static_cast<std::size_t>(starts.rows()));
  // Values and gradients at one point of each climber named.
  const auto evaluate = [&](const std::vector<std::size_t>& who, auto point, auto take) {
    const auto k = static_cast<Index>(who.size());
    Matrix x(k, d), gradient(k, d);
    for (Index r = 0; r < k; ++r) {
      const Vector& at = point(climbers[who[static_cast<std::size_t>(r)]]);
      for (Index i = 0; i < d; ++i) x(r, i) = static_cast<float>(radius * at[static_cast<std::size_t>(i)]);
    }
    const std::vector<double> values = ffn.norm_gradient(x, gradient);
    for (Index r = 0; r < k; ++r) {
      Vector slope(static_cast<std::size_t>(d));
      for (Index i = 0; i < d; ++i)
        slope[static_cast<std::size_t>(i)] = radius * static_cast<double>(gradient(r, i));
      take(climbers[who[static_cast<std::size_t>(r)]], values[static_cast<std::size_t>(r)], std::move(slope));
    }
  };

  std::vector<std::size_t> all;
  for (std::size_t i = 0; i < climbers.size(); ++i) {
    all.push_back(i);
    const auto row = starts.row(static_cast<Index>(i));
    climbers[i].x.assign(row.begin(), row.end());
    const double size = std::sqrt(product(climbers[i].x, climbers[i].x));
    for (double& value : climbers[i].x) value /= size;
  }
  evaluate(
      all, [](const Climber& c) -> const Vector& { return c.x; },
      [&](Climber& c, double value, Vector slope) {
        make_tangent(c.x, slope);
        c.gradient = std::move(slope);
        c.value = c.start_value = value;
        c.restart();
        c.done = !(product(c.gradient, c.gradient) > 0) || c.stationarity() <= options.tolerance;
      });
  for (Index step = 0; step < options.max_steps; ++step) {
    check_interrupt();
    std::vector<std::size_t> active;
    for (const std::size_t i : all)
      if (!climbers[i].done) active.push_back(i);
    if (active.empty()) break;
    for (const std::size_t i : active) climbers[i].propose();
    evaluate(
        active, [](const Climber& c) -> const Vector& { return c.trial; },
        [&](Climber& c, double value, Vector slope) { c.judge(value, std::move(slope), options.tolerance); });
  }

  Matrix x(starts.rows(), d), outputs(starts.rows(), d);
  for (Index r = 0; r < x.rows(); ++r)
    for (Index i = 0; i < d; ++i)
      x(r, i) =
          static_cast<float>(radius * climbers[static_cast<std::size_t>(r)].x[static_cast<std::size_t>(i)]);
  ffn.apply(x, outputs);
  std::vector<LocalMaximum> results;
  for (Index r = 0; r < x.rows(); ++r) {
    const Climber& climber = climbers[static_cast<std::size_t>(r)];
    LocalMaximum result;
    result.x.assign(climber.x.begin(), climber.x.end());
    result.value = climber.value;
    result.start_value = climber.start_value;
    result.stationarity = climber.stationarity();
    result.converged = result.stationarity <= options.tolerance;
    const auto row = outputs.row(r);
    if (climber.value > 0)
      for (const float value : row) result.output.push_back(static_cast<float>(value / climber.value));
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace defectoscope
