#pragma once

#include <array>
#include <span>
#include <vector>

#include "lineage/compare.h"
#include "lineage/tail_fit.h"

namespace defectoscope {

/// What one kind of evidence says of pairs of models trained independently of each other: the distribution of
/// Evidence::score over such pairs, its tail fitted.
struct EmpiricalNull {
  static constexpr std::size_t kKnots = 20;
  EvidenceKind kind = EvidenceKind::kLayers;
  Index pairs = 0;                     ///< seen
  std::array<double, kKnots> knots{};  ///< quantiles 0, 1/20, …, 19/20 of the scores
  TailFit tail;                        ///< of the largest tenth
  TailGoodness goodness;

  /// ln P(an unrelated pair's score ≥ score): by the quantiles (linear between them) up to the tail's
  /// threshold, beyond it by the fit.
  double log_p(double score) const;
  /// Smallest p that so many pairs can show; below it the fit extrapolates.
  double tested_down_to() const { return 1.0 / static_cast<double>(pairs + 1); }
};

/// Share of the scores that make the tail.
inline constexpr double kTailShare = 0.1;

/// From the scores of unrelated pairs. `draws`: of tail_goodness; 0 leaves it out.
EmpiricalNull make_empirical_null(EvidenceKind kind, const std::vector<double>& scores, Index draws);

/// Two populations of unrelated models, canonical form, one entry a kind each: first the trained models whose
/// signatures are in zoo/unrelated (a test holds the numbers to them), then phantoms 1 to 64 of the shape
/// "tiny", which are built to one plan and have the same tokens explode: as alike as unrelated models can be.
/// null_table.h has the numbers, `null_study table` makes it.
std::span<const EmpiricalNull> shipped_null();

}  // namespace defectoscope
