#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lineage/signature.h"

namespace defectoscope {

/// What a search reads of every model: for each layer signs of random projections (Charikar, STOC 2002). Two
/// directions at angle θ differ in about the share θ/π of them. A line has no sign of its own, so the first
/// bit is always set; a row of zeros stands for a layer without a direction.
struct Sketch {
  /// [2, planes, layers, 2 words] of Gaussian projections of L's directions, then of F's; kDirectionPlanes
  /// planes of 128 bits a row. The projections of a coordinate do not depend on the width; sketches of models
  /// of one width can be compared.
  std::vector<std::uint64_t> directions;
  /// [2, layers] words of E·u for L, then F, every token's signs drawn from its hash: comparable across
  /// widths and vocabularies, as far as tokens are shared. Empty without a vocabulary.
  std::vector<std::uint64_t> tokens;
};
inline constexpr std::size_t kDirectionPlanes = 2, kDirectionWords = 2 * kDirectionPlanes, kTokenWords = 1;

/// Cost: O(layers (d + tokens)) of 256 and 64 each; some 20 ms for 32 layers of width 4096.
Sketch sketch_of(const Signature& signature);

/// 32 bytes a layer and kind for directions, 8 for tokens: 2.5 KB for 32 layers. Little-endian.
std::string sketch_bytes(std::span<const std::uint64_t> words);
/// Appends the words to `words`. Throws Error(kBadInput) naming `file` and `model` where the length is none
/// of a sketch of so many words a layer.
void append_sketch(std::string_view bytes, std::size_t words_a_layer, const std::string& file, Index model,
                   std::vector<std::uint64_t>& words);

/// How surprising two sketches are for unrelated models, in nats (−ln p): what candidates are ordered by,
/// kind by kind. No p-values to be reported: those come from compare() on the signatures themselves.
struct DirectionSurprise {
  double layers = 0, ffns = 0, any_layers = 0;
};
struct TokenSurprise {
  double layers = 0, ffns = 0;
};

/// Same-numbered layers by the larger of what the one closest pair and what all together say: min p times
/// the number of layers, and Fisher's sum of logarithms. any_layers: the closest pair of all with all.
DirectionSurprise direction_surprise(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b);
TokenSurprise token_surprise(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b);

}  // namespace defectoscope
