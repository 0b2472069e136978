#pragma once

#include <functional>
#include <vector>

#include "analysis/norm_table.h"

namespace defectoscope {

/// Norms as a model might give them, for tests: ordinary tokens scatter about a growing median, special ones
/// follow a course of their own.
struct SyntheticNorms {
  Index layers = 12;
  Index rows = 40;
  Index row_tokens = 30;
  double scatter = 0.15;    ///< standard deviation of log norm
  double growth = 1.08;     ///< of ordinary norms, a layer
  bool initial = true;      ///< first tokens are special
  Index trigger_every = 0;  ///< later tokens with id 7 are special; every so many tokens
  /// Ratio to the ordinary median after a layer (0: embedding); of special tokens.
  std::function<double(Index layer)> ratio = [](Index) { return 1.0; };
  /// Factor on all tokens of a layer.
  std::function<double(Index layer)> common = [](Index) { return 1.0; };
  std::uint64_t seed = 0;

  NormTable make() const;
};

}  // namespace defectoscope
