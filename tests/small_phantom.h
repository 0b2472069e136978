#pragma once

#include "synthesis/phantom.h"

namespace defectoscope {

/// A phantom that is written and scanned in a moment.
inline PhantomOptions small_phantom(Index layers = 4) {
  PhantomOptions options;
  options.shape.name = "test";
  options.shape.hidden_size = 192;
  options.shape.layers = layers;
  options.shape.heads = 3;
  options.shape.kv_heads = 3;
  options.shape.head_dim = 64;
  options.shape.ffn_size = 512;
  options.shape.vocab_size = 384;
  options.shape.dtype = DType::kF32;
  return options;
}

}  // namespace defectoscope
