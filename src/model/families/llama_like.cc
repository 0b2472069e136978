#include "model/families/families.h"

namespace defectoscope {
namespace {

ArchitectureSpec llama() {
  return {.name = "llama",
          .model_types = {"llama"},
          .biases = {.attention_key = "attention_bias", .ffn_key = "mlp_bias"},
          .names = llama_names(),
          .gguf = {.architecture = "llama", .permuted_heads = true, .llama2c = true}};
}

ArchitectureSpec mistral() {
  return {.name = "mistral",
          .model_types = {"mistral"},
          .default_kv_heads = 8,
          .window = WindowRule::kEveryLayer,
          .default_window = 4096,
          .names = llama_names()};
}

ArchitectureSpec qwen2() {
  return {.name = "qwen2",
          .model_types = {"qwen2"},
          .window = WindowRule::kSwitchedLayers,
          .default_window = 4096,
          .biases = {.qkv = BiasRule::kRequired},
          .names = llama_names(),
          .gguf = {.architecture = "qwen2"}};
}

}  // namespace

std::vector<ArchitectureSpec> llama_like_families() { return {llama(), mistral(), qwen2()}; }

}  // namespace defectoscope
