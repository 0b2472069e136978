#pragma once

#include <optional>

#include "lineage/signature.h"

namespace defectoscope {

/// How far a model lies on the straight line between two others: weights (1 − w) a + w b move a layer's
/// direction, to first order, by w of what lies between the parents'.
struct BlendFit {
  double weight = 0;        ///< w, of b
  double off_the_line = 0;  ///< distance from that line, in units of the parents' distance
  Index directions = 0;     ///< fitted
};

/// Off the line at most by this, and w at least this far from both ends, is called a merge.
inline constexpr double kMergeOffTheLine = 0.25, kMergeLeastWeight = 0.1;

/// Least squares over the directions of L and of F that the parents have within 60 degrees of each other;
/// none where the three are of different width or depth, or no such direction is there. O(layers · d).
std::optional<BlendFit> fit_blend(const Signature& child, const Signature& a, const Signature& b);
bool looks_merged(const BlendFit& fit);

}  // namespace defectoscope
