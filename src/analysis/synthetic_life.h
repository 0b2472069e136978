#pragma once

#include <cstdint>
#include <vector>

#include "analysis/norm_table.h"

namespace defectoscope {

/// A life cycle drawn at random, with its truth: any height from 2 to 500, up to two explosions and decays of
/// unequal shares, slow growth and slow decay over several layers, plateaus that drift, first or later tokens
/// or both, tokens that differ, ordinary norms that scatter and grow. Harder than real models and phantoms,
/// so that confidence has something to tell apart.
struct SyntheticLife {
  NormTable table;
  std::vector<Index> explosion, decay;  ///< 1-based
};
SyntheticLife synthetic_life(std::uint64_t seed);

}  // namespace defectoscope
