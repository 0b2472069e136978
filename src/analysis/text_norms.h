#pragma once

#include <string>
#include <vector>

#include "analysis/scan_result.h"
#include "forward/transformer.h"

namespace defectoscope {

class Tokenizer;

/// Norms along one text, every layer, before and after attention and FFN.
struct TextNorms {
  NormLandscape landscape;  ///< after every layer; layer 0 the embedding
  /// [layers][tokens]: of the state between attention and FFN (in parallel blocks, the layer's input).
  std::vector<std::vector<double>> before_ffn;
  /// [layers][tokens]: of what attention and what the FFN added to the residual stream: differences of
  /// states. In parallel blocks attention's is 0 and the FFN's holds both.
  std::vector<std::vector<double>> attention_added, ffn_added;
  bool parallel = false;     ///< attention and FFN read the same state
  Index tokens_in_text = 0;  ///< before the cut to the model's context
};

/// One forward pass over `tokens`, cut to the model's context. Throws Error(kBadInput) where there is none.
TextNorms text_norms(const Transformer& transformer, const Tokenizer& tokenizer, TokenIds tokens);

}  // namespace defectoscope
