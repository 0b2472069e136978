#pragma once

#include <span>
#include <vector>

namespace defectoscope {

/// Acute angle between x and y, degrees, accurate for small angles too; 90 where either is zero.
double acute_angle_degrees(std::span<const float> x, std::span<const float> y);
/// x / ‖x‖ in f32; empty where x is zero.
std::vector<float> unit_direction(std::span<const double> x);
/// The same vector in f64.
std::vector<double> widened(std::span<const float> x);

}  // namespace defectoscope
