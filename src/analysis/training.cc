#include "analysis/training.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "analysis/angle.h"
#include "base/error.h"

namespace defectoscope {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// The run of digits at the front of `text`, leading zeros left out; `text` goes on behind it.
std::string_view take_number(std::string_view& text) {
  const auto end = static_cast<std::size_t>(std::ranges::find_if_not(text, is_digit) - text.begin());
  std::string_view digits = text.substr(0, end);
  text.remove_prefix(end);
  digits.remove_prefix(std::min(digits.find_first_not_of('0'), digits.size()));
  return digits;
}

std::string shape_of(const ScanResult& scan) {
  return fmt::format("{}, {} layers of width {}", scan.family, scan.layers, scan.hidden_size);
}

std::optional<double> angle_between(const ScanResult& a, const ScanResult& b) {
  if (a.high_norm.direction.empty() || b.high_norm.direction.empty()) return std::nullopt;
  return acute_angle_degrees(a.high_norm.direction, b.high_norm.direction);
}

TrainingPoint point_of(const ScanResult& scan) {
  TrainingPoint point;
  point.name = scan.model_name;
  point.step = trailing_number(scan.model_name);
  point.landscape = scan.landscape;
  point.norms = scan.norms;
  point.has_high_norms = scan.high_norm.count > 0;
  point.median_ratio = scan.high_norm.median_ratio;
  point.count = scan.high_norm.count;
  point.mean_pairwise_angle_degrees = scan.high_norm.mean_pairwise_angle_degrees;
  point.explosion_layers = layer_numbers(scan.explosion_layers);
  point.decay_layers = layer_numbers(scan.decay_layers);
  return point;
}

/// First index from which on `holds` is true to the end; nullopt where it is false at the last.
template <typename Holds>
std::optional<std::size_t> from_then_on(std::size_t count, const Holds& holds) {
  std::size_t first = count;
  while (first > 0 && holds(first - 1)) --first;
  if (first == count) return std::nullopt;
  return first;
}

}  // namespace

void check_checkpoints(std::span<const ScanResult> checkpoints) {
  if (checkpoints.size() < 2)
    throw Error(ErrorKind::kUsage,
                ErrorParts{.what = "training is followed over two checkpoints or more",
                           .got = fmt::format("{}", checkpoints.size()),
                           .hint = "give the checkpoints of one run: `defectoscope training run/ckpt-*`"});
  for (const ScanResult& scan : checkpoints)
    if (shape_of(scan) != shape_of(checkpoints.front()))
      throw_bad_input(
          {.what = "the checkpoints are of unlike shapes",
           .file = scan.model_name,
           .expected = shape_of(checkpoints.front()) + ", as in " + checkpoints.front().model_name,
           .got = shape_of(scan),
           .hint = "give checkpoints of one training run"});
}

bool natural_less(std::string_view a, std::string_view b) {
  const std::string_view whole_a = a, whole_b = b;
  while (!a.empty() && !b.empty()) {
    if (is_digit(a.front()) && is_digit(b.front())) {
      const std::string_view x = take_number(a), y = take_number(b);
      if (x.size() != y.size()) return x.size() < y.size();
      if (x != y) return x < y;
      continue;
    }
    if (a.front() != b.front()) return a.front() < b.front();
    a.remove_prefix(1);
    b.remove_prefix(1);
  }
  if (a.empty() != b.empty()) return a.empty();
  return whole_a < whole_b;
}

std::optional<Index> trailing_number(std::string_view name) {
  std::size_t begin = name.size();
  while (begin > 0 && is_digit(name[begin - 1])) --begin;
  Index number = 0;
  const auto [end, error] = std::from_chars(name.data() + begin, name.data() + name.size(), number);
  if (begin == name.size() || error != std::errc{}) return std::nullopt;
  return number;
}

Training follow_training(std::span<const ScanResult> checkpoints) {
  check_checkpoints(checkpoints);
  Training training;
  for (std::size_t i = 0; i < checkpoints.size(); ++i) {
    TrainingPoint point = point_of(checkpoints[i]);
    if (i > 0) point.to_previous_degrees = angle_between(checkpoints[i - 1], checkpoints[i]);
    point.to_last_degrees = angle_between(checkpoints[i], checkpoints.back());
    training.points.push_back(std::move(point));
  }
  const auto& points = training.points;
  training.appears = from_then_on(points.size(), [&](std::size_t i) { return points[i].has_high_norms; });
  const auto near_next = [&](std::size_t i) {
    return points[i + 1].to_previous_degrees.value_or(90) <= kStableDegrees;
  };
  training.settles = from_then_on(points.size() - 1, near_next);
  return training;
}

}  // namespace defectoscope
