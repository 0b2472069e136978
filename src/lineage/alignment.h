#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lineage/direction_sets.h"
#include "lineage/signature.h"

namespace defectoscope {

/// What became of a layer of the later model's.
enum class LayerFate {
  kInPlace,     ///< has a counterpart, in the order of all such
  kMoved,       ///< has a counterpart out of that order
  kDuplicated,  ///< has a counterpart that another layer has already
  kNew          ///< has none: inserted, or changed beyond recognition
};

std::string fate_name(LayerFate fate);  ///< "in-place", "moved", …

struct AlignedLayer {
  LayerFate fate = LayerFate::kNew;
  std::optional<Index> counterpart;  ///< 0-based, in the other model
  double degrees = 90;               ///< angle of L's directions, or of E·u where widths differ
  double log_p = 0;                  ///< of the pair, times the number of pairs
};

/// Which layers of `b` are which of `a`.
struct LayerAlignment {
  std::vector<AlignedLayer> layers;  ///< one for each of b
  std::vector<Index> missing;        ///< layers of a, 0-based, that none of b's is the counterpart of
  /// b is a's first so many layers, in place, and has none of a's later ones; none where that is not so.
  std::optional<Index> prefix;
  bool all_in_place() const;
};

/// p of a pair of layers at which it counts as the same layer, after times the number of pairs.
inline constexpr double kSameLayer = 1e-3;

/// Global alignment of the two sequences (Needleman and Wunsch 1970): the order-preserving matching of
/// largest total −ln p over L's and F's directions in all coordinates that there are; what remains of b is
/// then given its likeliest counterpart as moved or duplicated. O(layers² · d).
LayerAlignment align_layers(const Signature& a, const Signature& b, const DirectionSets& directions);

}  // namespace defectoscope
