#include "lineage/empirical_null.h"

#include <algorithm>
#include <cmath>

#include "lineage/null_table.h"

namespace defectoscope {

double EmpiricalNull::log_p(double score) const {
  if (pairs == 0) return 0;
  if (score > tail.threshold) return tail.log_tail(score);
  if (score <= knots.front()) return 0;
  const auto after = std::ranges::upper_bound(knots, score);
  const auto i = static_cast<std::size_t>(after - knots.begin());  // 1 … kKnots
  const double left = knots[i - 1], right = i < kKnots ? knots[i] : tail.threshold;
  const double part = right > left ? std::min(1.0, (score - left) / (right - left)) : 0;
  const double below = (static_cast<double>(i - 1) + part) / static_cast<double>(kKnots);
  return std::log(std::max(1 - below, tail.share));
}

EmpiricalNull make_empirical_null(EvidenceKind kind, const std::vector<double>& scores, Index draws) {
  EmpiricalNull null{.kind = kind, .pairs = std::ssize(scores), .tail = {}, .goodness = {}};
  if (scores.empty()) return null;
  std::vector<double> ascending = scores;
  std::ranges::sort(ascending);
  for (std::size_t i = 0; i < EmpiricalNull::kKnots; ++i)
    null.knots[i] = ascending[i * (ascending.size() - 1) / EmpiricalNull::kKnots];
  null.tail = fit_tail(scores, kTailShare);
  if (draws > 0) null.goodness = tail_goodness(scores, null.tail, draws, static_cast<std::uint64_t>(kind));
  return null;
}

std::span<const EmpiricalNull> shipped_null() { return null_table::kKinds; }

}  // namespace defectoscope
