#include "analysis/angle.h"

#include <cmath>
#include <numbers>

namespace defectoscope {

double acute_angle_degrees(std::span<const float> x, std::span<const float> y) {
  double xx = 0, yy = 0, xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xx += static_cast<double>(x[i]) * x[i];
    yy += static_cast<double>(y[i]) * y[i];
    xy += static_cast<double>(x[i]) * y[i];
  }
  if (!(xx > 0 && yy > 0)) return 90;
  // The sine from the difference of the unit vectors' parts: acos alone loses half the digits near 0.
  const double sign = xy < 0 ? -1 : 1;
  const double nx = std::sqrt(xx), ny = std::sqrt(yy);
  double chord = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double difference = x[i] / nx - sign * y[i] / ny;
    chord += difference * difference;
  }
  return 2 * std::asin(std::min(1.0, 0.5 * std::sqrt(chord))) * 180 / std::numbers::pi;
}

std::vector<float> unit_direction(std::span<const double> x) {
  double square = 0;
  for (const double value : x) square += value * value;
  if (!(square > 0)) return {};
  std::vector<float> unit;
  for (const double value : x) unit.push_back(static_cast<float>(value / std::sqrt(square)));
  return unit;
}

std::vector<double> widened(std::span<const float> x) { return {x.begin(), x.end()}; }

}  // namespace defectoscope
