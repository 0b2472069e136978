#include "lineage/blend.h"

#include <cmath>

#include "analysis/angle.h"
#include "kernels/pointwise.h"

namespace defectoscope {
namespace {

constexpr double kFarthestParents = 60;  // degrees
constexpr double kNearestParents = 0.2;  // degrees: closer ones say nothing about a place between them

/// Sums over coordinates of the parents' difference b − a and the child's c − a, signs as a's.
struct Sums {
  double between = 0, along = 0, child = 0;
};

void add(Sums& sums, std::span<const float> a, std::span<const float> b, std::span<const float> c) {
  const double sign_b = dot(a, b) < 0 ? -1 : 1, sign_c = dot(a, c) < 0 ? -1 : 1;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double to_b = sign_b * static_cast<double>(b[i]) - static_cast<double>(a[i]);
    const double to_c = sign_c * static_cast<double>(c[i]) - static_cast<double>(a[i]);
    sums.between += to_b * to_b;
    sums.along += to_b * to_c;
    sums.child += to_c * to_c;
  }
}

}  // namespace

std::optional<BlendFit> fit_blend(const Signature& child, const Signature& a, const Signature& b) {
  for (const Signature* parent : {&a, &b})
    if (parent->hidden_size != child.hidden_size || parent->layers != child.layers) return {};
  Sums sums;
  BlendFit fit;
  for (const auto of : {&Signature::left, &Signature::ffn_left})
    for (Index i = 0; i < child.layers; ++i) {
      const auto x = (a.*of).row(i), y = (b.*of).row(i), z = (child.*of).row(i);
      const double apart = acute_angle_degrees(x, y);
      if (apart > kFarthestParents || apart < kNearestParents || dot(z, z) == 0) continue;
      add(sums, x, y, z);
      ++fit.directions;
    }
  if (fit.directions == 0) return {};
  fit.weight = sums.along / sums.between;
  fit.off_the_line = std::sqrt(std::max(0.0, sums.child - fit.weight * sums.along) / sums.between);
  return fit;
}

bool looks_merged(const BlendFit& fit) {
  return fit.off_the_line < kMergeOffTheLine && fit.weight > kMergeLeastWeight &&
         fit.weight < 1 - kMergeLeastWeight;
}

}  // namespace defectoscope
