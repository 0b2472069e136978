#pragma once

#include "analysis/scan_result.h"

namespace defectoscope {

class Transformer;
class Tokenizer;

/// The sentence of the paper's figures 1 and 2.
inline constexpr const char* kLandscapeSentence = "The quick brown fox jumps over the lazy dog.";

/// Norms of its hidden states, every layer × every token, special tokens as the tokenizer adds them.
NormLandscape norm_landscape(const Transformer& transformer, const Tokenizer& tokenizer);

}  // namespace defectoscope
