#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace defectoscope {

/// A tensor whose values are drawn, not stored: tests, goldens and benchmarks name their weights this way.
/// tools/golden_forward.py draws the same bits.
struct GeneratedTensor {
  std::string name;
  std::vector<Index> shape;
  int exponent = 0;  ///< values are uniform in offset ± 2^exponent
  float offset = 0;  ///< 1 for norm gains
};

/// Elements [first, first + out.size()) of the tensor, row-major. Element i comes from word i % 4 of
/// philox(seed, stream_of(name), i / 4): offset + 2^exponent · ((word >> 8) − 2²³) / 2²³.
void generate_values(std::uint64_t seed, const GeneratedTensor& tensor, Index first, std::span<float> out);

/// A checkpoint in memory with these tensors, rounded to `dtype` (f32, f16 or bf16).
std::shared_ptr<const Checkpoint> generated_checkpoint(const std::vector<GeneratedTensor>& tensors,
                                                       std::uint64_t seed, DType dtype);

/// Writes config.json and model.safetensors into `folder`, which is made.
void write_generated_model(const std::filesystem::path& folder, std::string_view config_json,
                           const std::vector<GeneratedTensor>& tensors, std::uint64_t seed, DType dtype);

/// The tensors of a llama-shaped model without biases, scaled so that states keep their size.
std::vector<GeneratedTensor> llama_tensors(Index vocab, Index hidden, Index layers, Index query_size,
                                           Index kv_size, Index ffn, bool tied);

}  // namespace defectoscope
