#include "lineage/alignment.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "analysis/angle.h"
#include "kernels/pointwise.h"
#include "lineage/null_law.h"
#include "spectral/basis.h"

namespace defectoscope {
namespace {

constexpr double kCertain = 1e4;         // stands for −ln p of equal directions
constexpr double kNearlyOrthogonal = 3;  // |cos| √D below this is no match and costs no exact p

/// Of all pairs of layers [layers of a, layers of b].
struct PairTable {
  DoubleMatrix score;    ///< sum of −ln p
  DoubleMatrix log_p;    ///< smallest, times the number of sets and pairs
  DoubleMatrix degrees;  ///< of the first set
};

std::vector<double> lengths_of(const Matrix& rows) {
  std::vector<double> lengths;
  for (Index i = 0; i < rows.rows(); ++i) lengths.push_back(norm(rows.row(i)));
  return lengths;
}

PairTable hold_against(const std::vector<const DirectionSet*>& sets, Index rows, Index cols) {
  PairTable table{DoubleMatrix(rows, cols), DoubleMatrix(rows, cols), DoubleMatrix(rows, cols)};
  const double factor =
      std::log(static_cast<double>(rows) * static_cast<double>(cols) * static_cast<double>(sets.size()));
  for (std::size_t s = 0; s < sets.size(); ++s) {
    const DirectionSet& set = *sets[s];
    DoubleMatrix cosines(rows, cols);
    rows_by_rows(to_double(set.a), to_double(set.b), cosines);
    const std::vector<double> lengths_a = lengths_of(set.a), lengths_b = lengths_of(set.b);
    for (Index i = 0; i < rows; ++i)
      for (Index k = 0; k < cols; ++k) {
        const auto x = set.a.row(i), y = set.b.row(k);
        const double lengths =
            lengths_a[static_cast<std::size_t>(i)] * lengths_b[static_cast<std::size_t>(k)];
        const double cosine = lengths > 0 ? std::min(1.0, std::abs(cosines(i, k)) / lengths) : 0;
        const bool near = cosine * std::sqrt(std::max(1.0, set.dimension)) > kNearlyOrthogonal;
        const double degrees = near ? acute_angle_degrees(x, y) : std::acos(cosine) * 180 / std::numbers::pi;
        if (s == 0) table.degrees(i, k) = degrees;
        if (!near) continue;
        const double log_p = std::max(log_beta_tail(degrees, set.dimension), log_permutation_tail(x, y));
        table.score(i, k) += std::min(kCertain, -log_p);
        table.log_p(i, k) = std::min({0.0, table.log_p(i, k), log_p + factor});
      }
  }
  return table;
}

/// counterpart[k] of b's layer k, or −1: the order-preserving matching of largest total score.
std::vector<Index> best_matching(const PairTable& table) {
  const Index rows = table.score.rows(), cols = table.score.cols();
  const double same = std::log(kSameLayer);
  DoubleMatrix best(rows + 1, cols + 1);
  for (Index i = 1; i <= rows; ++i)
    for (Index k = 1; k <= cols; ++k) {
      best(i, k) = std::max(best(i - 1, k), best(i, k - 1));
      if (table.log_p(i - 1, k - 1) < same)
        best(i, k) = std::max(best(i, k), best(i - 1, k - 1) + table.score(i - 1, k - 1));
    }
  std::vector<Index> counterpart(static_cast<std::size_t>(cols), -1);
  for (Index i = rows, k = cols; i > 0 && k > 0;) {
    if (table.log_p(i - 1, k - 1) < same && best(i, k) == best(i - 1, k - 1) + table.score(i - 1, k - 1)) {
      counterpart[static_cast<std::size_t>(--k)] = --i;
    } else if (best(i, k) == best(i, k - 1)) {
      --k;
    } else {
      --i;
    }
  }
  return counterpart;
}

std::optional<Index> prefix_of(const LayerAlignment& alignment, Index layers_of_a) {
  Index matched = 0;
  while (matched < std::ssize(alignment.layers)) {
    const AlignedLayer& layer = alignment.layers[static_cast<std::size_t>(matched)];
    if (layer.fate != LayerFate::kInPlace || layer.counterpart != matched) break;
    ++matched;
  }
  if (matched == 0 || matched == layers_of_a) return {};
  for (std::size_t k = static_cast<std::size_t>(matched); k < alignment.layers.size(); ++k)
    if (alignment.layers[k].counterpart) return {};
  return matched;
}

}  // namespace

std::string fate_name(LayerFate fate) {
  switch (fate) {
    case LayerFate::kInPlace:
      return "in-place";
    case LayerFate::kMoved:
      return "moved";
    case LayerFate::kDuplicated:
      return "duplicated";
    case LayerFate::kNew:
      break;
  }
  return "new";
}

bool LayerAlignment::all_in_place() const {
  if (!missing.empty()) return false;
  for (std::size_t k = 0; k < layers.size(); ++k)
    if (layers[k].fate != LayerFate::kInPlace || layers[k].counterpart != static_cast<Index>(k)) return false;
  return true;
}

LayerAlignment align_layers(const Signature& a, const Signature& b, const DirectionSets& directions) {
  LayerAlignment alignment;
  alignment.layers.resize(static_cast<std::size_t>(b.layers));
  const std::vector<const DirectionSet*> sets = directions.present();
  std::vector<Index> taken(static_cast<std::size_t>(a.layers), 0);
  if (!sets.empty() && a.layers > 0 && b.layers > 0) {
    const PairTable table = hold_against(sets, a.layers, b.layers);
    const std::vector<Index> ordered = best_matching(table);
    const auto place = [&](Index k, Index i, LayerFate fate) {
      alignment.layers[static_cast<std::size_t>(k)] = {fate, i, table.degrees(i, k), table.log_p(i, k)};
      ++taken[static_cast<std::size_t>(i)];
    };
    for (Index k = 0; k < b.layers; ++k)
      if (const Index i = ordered[static_cast<std::size_t>(k)]; i >= 0) place(k, i, LayerFate::kInPlace);
    for (Index k = 0; k < b.layers; ++k) {
      if (alignment.layers[static_cast<std::size_t>(k)].counterpart) continue;
      Index likeliest = 0;
      for (Index i = 1; i < a.layers; ++i)
        if (table.score(i, k) > table.score(likeliest, k)) likeliest = i;
      if (table.log_p(likeliest, k) >= std::log(kSameLayer)) continue;
      place(k, likeliest,
            taken[static_cast<std::size_t>(likeliest)] > 0 ? LayerFate::kDuplicated : LayerFate::kMoved);
    }
  }
  for (Index i = 0; i < a.layers; ++i)
    if (taken[static_cast<std::size_t>(i)] == 0) alignment.missing.push_back(i);
  alignment.prefix = prefix_of(alignment, a.layers);
  return alignment;
}

}  // namespace defectoscope
