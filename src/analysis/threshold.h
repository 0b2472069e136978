#pragma once

#include <cstdint>
#include <vector>

#include "analysis/norm_table.h"

namespace defectoscope {

/// Median norm of each layer's states, [layers + 1]: of later positions where those are at least a quarter of
/// all tokens (the first is often special), else of all.
std::vector<double> ordinary_medians(const NormTable& table);

/// Which tokens are special and which norm tells their states apart.
struct HighNormSplit {
  bool found = false;    ///< false: no token is special
  double threshold = 0;  ///< a hidden state with a larger norm is of high norm
  double confidence = 0;
  /// Natural logarithm of the gap between the special states of a layer and the others, median over the
  /// layers that show one.
  double separation = 0;
  double misplaced = 0;               ///< states on the wrong side of the threshold / special states
  std::vector<std::uint8_t> special;  ///< [tokens] 1: special in some layer
  /// [layers + 1] ratio to the ordinary median that parts the layer's two populations; infinity where the
  /// layer shows one only.
  std::vector<double> split;
};

/// Finds the threshold from the norms alone.
///
/// In each layer the norms relative to the median are sorted. A set of the k largest is special when a zone
/// free of states (up to 3 % of k on either side) of a factor 1.5 or more lies below it, too wide for the
/// tail of the others: in an exponential tail of scale τ the gap under the k-th largest exceeds g with
/// probability exp(−k g / τ). The lowest such zone counts, so that two kinds of special tokens stay together.
/// Growth that all tokens share moves no ratio, so a model in which every token leaps has no special one. The
/// threshold is the middle of the widest range of norms, pooled over layers, that misplaces fewest. Cost: one
/// sort a layer.
HighNormSplit find_high_norms(const NormTable& table);

/// The same for a threshold that the user gave: special is every token with a state above it.
HighNormSplit split_at(const NormTable& table, double threshold);

}  // namespace defectoscope
