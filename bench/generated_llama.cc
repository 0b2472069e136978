#include "generated_llama.h"

#include "forward/generated_checkpoint.h"

namespace defectoscope {

Model generated_llama(const LlamaShape& shape, DType dtype) {
  ModelConfig config;
  config.architecture = find_architecture("llama");
  config.model_type = "llama";
  config.hidden_size = config.embedding_size = shape.hidden_size;
  config.layers = shape.layers;
  config.heads = shape.heads;
  config.kv_heads = shape.kv_heads;
  config.head_dim = config.rotary_dim = shape.hidden_size / shape.heads;
  config.ffn_size = shape.ffn_size;
  config.vocab_size = shape.vocab_size;
  config.max_positions = 4096;
  return {config,
          generated_checkpoint(llama_tensors(config.vocab_size, config.hidden_size, config.layers,
                                             config.query_size(), config.kv_size(), config.ffn_size, false),
                               1, dtype),
          "generated"};
}

}  // namespace defectoscope
