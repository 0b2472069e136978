#include "model/llama2c_config.h"

#include <nlohmann/json.hpp>

namespace defectoscope {

ModelConfig llama2c_config(const Llama2cFile::Sizes& sizes, const ArchitectureSpec& row,
                           const std::string& file) {
  const ConfigKeys& keys = row.keys;
  const auto key = [](const std::vector<std::string_view>& names) { return std::string(names.front()); };
  const nlohmann::json config = {{"model_type", row.model_types.front()},
                                 {key(keys.hidden_size), sizes.hidden},
                                 {key(keys.layers), sizes.layers},
                                 {key(keys.heads), sizes.heads},
                                 {key(keys.kv_heads), sizes.kv_heads},
                                 {key(keys.ffn_size), sizes.ffn},
                                 {key(keys.vocab_size), sizes.vocabulary},
                                 {key(keys.max_positions), sizes.positions},
                                 {key(keys.norm_eps), 1e-5},
                                 {"tie_word_embeddings", sizes.tied},
                                 {"bos_token_id", 1},
                                 {"eos_token_id", 2}};
  return parse_config(config.dump(), file);
}

}  // namespace defectoscope
