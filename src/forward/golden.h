#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "forward/generated_checkpoint.h"
#include "forward/transformer.h"

namespace defectoscope {

/// What tools/golden_forward.py wrote about one small model.
struct Golden {
  struct Sample {
    std::string name;
    Index index = 0;
    std::uint32_t bits = 0;  ///< of the generated f32
  };
  std::string name;
  std::string config_json;
  std::uint64_t seed = 0;
  std::vector<GeneratedTensor> tensors;
  std::vector<Sample> samples;
  std::vector<TokenIds> sequences;
  std::vector<std::vector<Matrix>> hidden;  ///< [sequence][layer 0 … layers] of [tokens, d]
  std::vector<Matrix> logits;               ///< [sequence] of [tokens, vocab]
};

/// src/forward/testdata/<name>.json and .safetensors.
Golden read_golden(const std::string& name);

/// The golden's model with its generated weights, rounded to `dtype`, through a checkpoint written to a
/// temporary folder and Model::open.
Model open_golden(const Golden& golden, DType dtype = DType::kF32);

/// ‖got − expected‖ / ‖expected‖, of equal shapes.
double relative_error(ConstMatrixView got, ConstMatrixView expected);

}  // namespace defectoscope
