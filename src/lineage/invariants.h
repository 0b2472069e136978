#pragma once

#include <vector>

#include "lineage/signature.h"

namespace defectoscope {

/// Fewest layers whose Gram matrix or spectrum is held against another's.
inline constexpr Index kLeastLayersOfInvariants = 3;

/// Gram signature: |cosines| of all pairs among the layers' directions of L and of F, less their mean; [n],
/// n = m (m − 1) / 2, m = 2 layers. No rotation, permutation or sign of the hidden space changes it. Zero
/// rows count as orthogonal to all.
std::vector<float> gram_signature(const Signature& signature);

/// Spectrum: ln σ1, ln σ2 of L and of F and asinh of the decay eigenvalue's real part of every layer, each
/// of these less its mean over the layers (which takes the scale of the residual out of F's); [5 layers] or
/// [4 layers] where `with_eigenvalues` is false. As invariant as the Gram signature.
std::vector<float> spectrum_signature(const Signature& signature, bool with_eigenvalues);

/// Pearson's correlation of two vectors without mean, 0 where one is zero.
double correlation(const std::vector<float>& x, const std::vector<float>& y);

}  // namespace defectoscope
