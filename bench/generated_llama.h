#pragma once

#include "model/model.h"

namespace defectoscope {

struct LlamaShape {
  Index hidden_size = 4096, ffn_size = 11008, heads = 32, kv_heads = 32, layers = 2, vocab_size = 512;
};
/// A llama of generated weights in memory, its context 4096 tokens.
Model generated_llama(const LlamaShape& shape, DType dtype);

}  // namespace defectoscope
