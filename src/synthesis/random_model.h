#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "checkpoint/tensor_stream.h"
#include "synthesis/phantom.h"

namespace defectoscope {

/// A model as it is before training: every matrix normal with one deviation, GPT-2's residual writers divided
/// by √(2 layers), gains 1, biases 0. Nothing is planted; a scan finds no special token.
struct RandomModelOptions {
  PhantomShape shape;
  std::uint64_t seed = 0;
  double deviation = 0.02;
  Index shard_bytes = 5'000'000'000;
};

std::vector<StreamedTensor> random_model_tensors(const RandomModelOptions& options);

/// Writes a Hugging Face folder as write_phantom does, with a truth.json of variant "none".
PhantomTruth write_random_model(const RandomModelOptions& options, const std::filesystem::path& folder);

/// Draws a random model's options from a seed: both forms, width 192 to 512, 4 to 24 layers.
RandomModelOptions random_random_model_options(std::uint64_t seed);

}  // namespace defectoscope
