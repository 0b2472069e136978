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

/// Opens a Hugging Face folder (config.json beside safetensors or PyTorch .bin; weights of 8 and 4 bits by
/// its quantization_config), a GGUF file or any one of its parts, a llama2.c .bin, or a folder that holds one
/// GGUF model. Reads headers and configuration only. `family` as parse_config takes it, for folders with a
/// config.json alone; else Error(kUsage). Throws Error(kBadInput) as parse_config and the readers
/// do, and where a folder holds several models.
ModelFiles open_model_files(const std::filesystem::path& path, std::string_view family = {});

}  // namespace defectoscope
