#pragma once

#include <string>

#include "lineage/procrustes.h"
#include "lineage/token_sample.h"

namespace defectoscope {

class Model;

/// Vocabulary entries that two embeddings are aligned by, at most; sampled by hash as TokenSample is.
inline constexpr Index kAlignedTokens = 8192;
/// Models wider than this are aligned by so many tokens, in the space that these span: the decompositions
/// then take a few seconds at any width.
inline constexpr Index kAlignedWidth = 1024;
/// Leading directions that are left out: unrelated models share them (frequency).
inline constexpr Index kAlignedWithout = 8;
/// Fewer shared directions than these are not compared.
inline constexpr Index kLeastAlignedDimension = 16;

/// One of two models whose hidden spaces are to be aligned.
struct EmbeddedVocabulary {
  std::string name;              ///< what reasons call it
  const Model* model = nullptr;  ///< borrowed; null where only its signature is at hand
  TokenSample sample;            ///< empty without a tokenizer
};
/// With up to kAlignedTokens entries; `tokenizer` may be null. Borrows from the model.
EmbeddedVocabulary embedded_vocabulary(const Model& model, const Tokenizer* tokenizer);

/// The hidden spaces of two models, aligned through the vocabulary they share.
struct EmbeddingAlignment {
  std::string not_aligned;  ///< why not; empty where they were, and then the rest exists
  Index tokens = 0;         ///< shared ones that the fit saw
  AlignedSpaces spaces;
};

/// align_spaces of the shared tokens' embedded_tokens, rows less their mean for LayerNorm. `most_tokens`: 0
/// for what the widths allow (above). Cost: that many rows of each embedding are read, and products and a
/// decomposition cubic in the width, or in the tokens where those are fewer. Throws Error(kBadInput) on an
/// embedding that is not finite, naming it.
EmbeddingAlignment align_embeddings(const EmbeddedVocabulary& a, const EmbeddedVocabulary& b,
                                    Index most_tokens = 0);

}  // namespace defectoscope
