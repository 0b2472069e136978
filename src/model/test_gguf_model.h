#pragma once

#include <cstring>

#include "checkpoint/checkpoint.h"
#include "checkpoint/test_gguf.h"
#include "model/config.h"
#include "model/tensor_plan.h"

/// Writes a checkpoint as llama.cpp's converter would: its names, its permutations, norms in f32.
namespace defectoscope::testing_models {

namespace gguf_writer {

struct Written {
  std::string_view own, gguf;
};

inline std::vector<Written> layer_parts(const TensorNames& names) {
  return {{names.attention_norm, "attn_norm"},
          {names.query, "attn_q"},
          {names.key, "attn_k"},
          {names.value, "attn_v"},
          {names.fused_qkv, "attn_qkv"},
          {names.attention_output, "attn_output"},
          {names.ffn_norm, "ffn_norm"},
          {names.gate, "ffn_gate"},
          {names.up, "ffn_up"},
          {names.down, "ffn_down"}};
}

/// The converter's reshape(heads, 2, half, …).swapaxes(1, 2).
inline std::string permuted(const std::string& rows, Index heads, Index count) {
  std::string out;
  const auto size = rows.size() / static_cast<std::size_t>(count);
  const Index head = count / heads;
  for (Index h = 0; h < heads; ++h)
    for (Index i = 0; i < head / 2; ++i)
      for (const Index s : {Index{0}, Index{1}})
        out += rows.substr(static_cast<std::size_t>(h * head + s * (head / 2) + i) * size, size);
  return out;
}

inline std::string transposed(const std::string& bytes, Index rows, Index cols) {
  std::string out;
  const auto size = bytes.size() / static_cast<std::size_t>(rows * cols);
  for (Index c = 0; c < cols; ++c)
    for (Index r = 0; r < rows; ++r) out += bytes.substr(static_cast<std::size_t>(r * cols + c) * size, size);
  return out;
}

}  // namespace gguf_writer

/// Of a llama, qwen2 or gpt2 model; matrices keep their dtype, vectors become f32.
inline testing_gguf::GgufFile gguf_of(const ModelConfig& config, const Checkpoint& checkpoint) {
  using namespace gguf_writer;
  const ArchitectureSpec& row = *config.architecture;
  const std::string key = std::string(row.gguf.architecture) + ".";
  const auto number = [](Index value) { return static_cast<std::uint32_t>(value); };
  testing_gguf::GgufFile file(row.gguf.architecture);
  file.integer(key + "embedding_length", number(config.hidden_size))
      .integer(key + "block_count", number(config.layers))
      .integer(key + "attention.head_count", number(config.heads))
      .integer(key + "attention.head_count_kv", number(config.kv_heads))
      .integer(key + "attention.key_length", number(config.head_dim))
      .integer(key + "feed_forward_length", number(config.ffn_size))
      .integer(key + "context_length", number(config.max_positions))
      .number(key + (row.norm == NormKind::kRmsNorm ? "attention.layer_norm_rms_epsilon"
                                                    : "attention.layer_norm_epsilon"),
              static_cast<float>(config.norm_eps));
  if (config.rotary_dim > 0)
    file.number(key + "rope.freq_base", static_cast<float>(config.rope_base))
        .integer(key + "rope.dimension_count", number(config.rotary_dim));

  const auto write = [&](const std::string& own, const std::string& gguf, std::string_view part) {
    const std::optional<Tensor> tensor = checkpoint.find(own);
    if (!tensor) return;
    std::vector<Index> shape = tensor->shape;
    std::string bytes(reinterpret_cast<const char*>(tensor->data), static_cast<std::size_t>(tensor->bytes()));
    std::uint32_t type = tensor->dtype == DType::kF32 ? 0 : tensor->dtype == DType::kF16 ? 1 : 30;
    if (shape.size() == 1 && type != 0) {
      const std::vector<float> values = to_f32(*tensor);
      bytes.assign(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
      type = 0;
    }
    if (row.gguf.permuted_heads && part == "attn_q") bytes = permuted(bytes, config.heads, shape[0]);
    if (row.gguf.permuted_heads && part == "attn_k") bytes = permuted(bytes, config.kv_heads, shape[0]);
    if (row.transposed_weights && !part.empty() && shape.size() == 2) {
      bytes = transposed(bytes, shape[0], shape[1]);
      std::swap(shape[0], shape[1]);
    }
    file.tensor(gguf, {shape.rbegin(), shape.rend()}, type, bytes);
  };
  const std::string_view prefix = find_prefix(row, checkpoint);
  const auto both = [&](const std::string& own, const std::string& gguf, std::string_view part) {
    write(own, gguf + ".weight", part);
    write(bias_name(own), gguf + ".bias", part);
  };
  both(tensor_name(prefix, row.names.embedding), "token_embd", "");
  if (!row.names.position_embedding.empty())
    both(tensor_name(prefix, row.names.position_embedding), "position_embd", "");
  for (Index i = 0; i < config.layers; ++i)
    for (const Written& part : layer_parts(row.names))
      if (!part.own.empty())
        both(tensor_name(prefix, part.own, i), "blk." + std::to_string(i) + "." + std::string(part.gguf),
             part.gguf);
  both(tensor_name(prefix, row.names.final_norm), "output_norm", "");
  if (!config.tied_embeddings) both(std::string(row.names.lm_head), "output", "");
  return file;
}

}  // namespace defectoscope::testing_models
