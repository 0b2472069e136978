#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/files.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/test_files.h"
#include "model/tensor_plan.h"

/// Small models for the tests, written from their own configuration.
namespace defectoscope::testing_models {

inline const char* const kLlama = R"({"model_type": "llama", "hidden_size": 8, "num_hidden_layers": 2,
  "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4, "intermediate_size": 12, "vocab_size": 10,
  "max_position_embeddings": 16})";
inline const char* const kQwen2 = R"({"model_type": "qwen2", "hidden_size": 8, "num_hidden_layers": 2,
  "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 12, "vocab_size": 10,
  "max_position_embeddings": 16, "tie_word_embeddings": true})";
inline const char* const kGpt2 = R"({"model_type": "gpt2", "n_embd": 8, "n_layer": 2, "n_head": 2,
  "n_positions": 16, "vocab_size": 10})";

/// Every tensor the configuration calls for (optional ones too where asked), counting up, each from another
/// hundred on.
inline std::vector<Tensor> tensors_of(const char* config, std::string_view prefix, bool optional = false) {
  std::vector<Tensor> tensors;
  for (const TensorSlot& slot : tensor_plan(parse_config(config, "config.json"), prefix))
    if (slot.required || optional)
      tensors.push_back(testing_files::counting_tensor(slot.name, slot.shape,
                                                       1000.0f * static_cast<float>(tensors.size())));
  return tensors;
}

inline Tensor& named(std::vector<Tensor>& tensors, std::string_view name) {
  for (Tensor& tensor : tensors)
    if (tensor.name == name) return tensor;
  throw std::logic_error("no tensor " + std::string(name));
}

inline void write_model(const std::filesystem::path& folder, const char* config,
                        const std::vector<Tensor>& tensors) {
  write_file(folder / "config.json", config);
  write_safetensors(folder / "model.safetensors", tensors);
}

}  // namespace defectoscope::testing_models
