#pragma once

#include <filesystem>

#include "quantize/method.h"

namespace defectoscope {

/// Writes the model as a Hugging Face folder of compressed-tensors' format "int-quantized": each quantized
/// matrix as `weight` (int8) with its `weight_scale` (f32, [1] or [out, 1]) and, for static activations,
/// `input_scale` ([1]); what is left alone as it is stored, listed under `ignore`; config.json with the
/// `quantization_config`; the tokenizer's files. The integers are those the method's own matmuls use.
/// SmoothQuant's folded tensors are written in f32. `maxima` as for QuantizedModel.
///
/// Throws Error(kUsage) where the folder holds files, where the method is not 8-bit integers with a step a
/// tensor or an output or leaves a part of a fused matrix alone, or where the model is no Hugging Face folder
/// of torch.nn.Linear matrices (GPT-2's Conv1D, experts in one tensor, GGUF); Error(kResources) where the
/// disk fails, and nothing is left behind then. Memory: one tensor in f32. Cost: the checkpoint is read
/// twice.
void export_compressed_tensors(const Model& model, const QuantMethod& method, const ActivationMaxima* maxima,
                               const std::filesystem::path& folder);

}  // namespace defectoscope
