#pragma once

#include <filesystem>
#include <memory>

#include "model/config.h"

namespace defectoscope {

class Checkpoint;

/// What a model's files say, whatever they are.
struct ModelFiles {
  ModelConfig config;
  std::shared_ptr<const Checkpoint> checkpoint;
};

/// Opens a Hugging Face folder (config.json beside safetensors or PyTorch .bin), a GGUF file or any one of
/// its parts, or a folder that holds one. Reads headers and configuration only. Throws Error(kBadInput) as
/// parse_config and the readers do, and where a folder holds several models.
ModelFiles open_model_files(const std::filesystem::path& path);

}  // namespace defectoscope
