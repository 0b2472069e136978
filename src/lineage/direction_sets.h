#pragma once

#include <optional>
#include <vector>

#include "lineage/signature.h"

namespace defectoscope {

struct EmbeddingAlignment;

/// Directions of two models in coordinates that both have, a row a layer, of any length; a zero row where a
/// layer has none.
struct DirectionSet {
  Matrix a, b;
  double dimension = 0;  ///< of the Beta law
};

/// All that can be held against each other, of L and of F alone; none where the two lack what it takes.
struct DirectionSets {
  std::optional<DirectionSet> layers, ffns;           ///< in hidden dimensions: equal widths
  std::optional<DirectionSet> tokens, ffn_tokens;     ///< E·u over kLeastSharedTokens shared tokens or more
  std::optional<DirectionSet> aligned, aligned_ffns;  ///< in the spaces that `alignment` laid upon each other
  Index shared_tokens = 0;                            ///< of the signatures

  /// `alignment` may be null. Cost: O(layers (d + tokens)), aligned O(layers d r).
  DirectionSets(const Signature& a, const Signature& b, const EmbeddingAlignment* alignment);
  /// Those that there are, in that order.
  std::vector<const DirectionSet*> present() const;
};

}  // namespace defectoscope
