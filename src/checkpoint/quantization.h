#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "checkpoint/checkpoint.h"

namespace defectoscope {

/// How config.json's `quantization_config` says that weights are stored.
struct Quantization {
  enum class Method { kNone, kGptq, kAwq, kScaled, kCompressed } method = Method::kNone;
  Index bits = 0;                            ///< GPTQ, AWQ: 4 or 8
  Index group_size = -1;                     ///< inputs that share a scale; -1: all
  bool zeros_less_one = true;                ///< GPTQ's first format stores each zero point less one
  Index block_rows = 128, block_cols = 128;  ///< of scales that are of blocks
};

/// Reads a `quantization_config`. Methods: gptq, awq (gemm), fp8, fbgemm_fp8, compressed-tensors
/// (int-quantized, float-quantized, naive-quantized, pack-quantized), bitsandbytes in 8 bits. `file` is for
/// messages. Throws Error(kBadInput) naming the key: another method or format, bits that are not read, a
/// group or block size that is none.
Quantization parse_quantization(const nlohmann::json& config, const std::string& file);

/// The checkpoint with every quantized weight as "<stem>.weight" in f32, made when it is asked for (four
/// bytes a value for as long as it is held), and all else in place; scales, zero points, packed integers and
/// the scales of activations are no tensors of their own any more. A checkpoint without any such weight comes
/// back as it is. Throws Error(kBadInput), naming file and tensor, where parts are missing or of shapes that
/// do not fit each other, and where weights are packed but `scheme` says nothing of it.
std::shared_ptr<const Checkpoint> dequantized(std::shared_ptr<const Checkpoint> stored,
                                              const Quantization& scheme);

}  // namespace defectoscope
