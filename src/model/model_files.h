#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

#include "model/config.h"

namespace defectoscope {

class Checkpoint;

/// What a model's files say, whatever they are.
struct ModelFiles {
  ModelConfig config;
  std::shared_ptr<const Checkpoint> checkpoint;
  /// The file that holds the tokenizer of a model that is a file itself; empty for folders.
  std::filesystem::path tokenizer = {};
};

/// How a model's files are opened.
struct OpenOptions {
  std::string_view family = {};        ///< as parse_config takes it; for folders with a config.json alone
  std::filesystem::path adapter = {};  ///< a LoRA adapter's folder, merged on reading; empty: none
};

/// Opens a Hugging Face folder (config.json beside safetensors or PyTorch .bin; weights of 8 and 4 bits by
/// its quantization_config; of a multimodal model its language model), a GGUF file or any one of its parts, a
/// llama2.c .bin, or a folder that holds one GGUF model. Reads headers and configuration only. Throws
/// Error(kBadInput) as parse_config and the readers do, and where a folder holds several models;
/// Error(kUsage) on a family for files that say their own.
ModelFiles open_model_files(const std::filesystem::path& path, const OpenOptions& options = {});

}  // namespace defectoscope
