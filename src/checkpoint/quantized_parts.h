#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/quantization.h"
#include "checkpoint/tensor_set.h"

namespace defectoscope {

/// The tensors that one quantized weight is stored in, under a common stem ("model.layers.0.mlp.up_proj").
class QuantizedParts {
 public:
  QuantizedParts(const Checkpoint& stored, std::string stem, const Quantization& scheme)
      : stored_(&stored), stem_(std::move(stem)), scheme_(&scheme) {}

  const std::string& stem() const { return stem_; }
  const Quantization& scheme() const { return *scheme_; }
  std::optional<Tensor> find(std::string_view part) const;
  /// Throws Error(kBadInput) where it is missing, of another rank or of none of the types.
  Tensor get(std::string_view part, std::size_t rank, const std::vector<DType>& types) const;
  /// Throws Error(kBadInput) where the shape differs.
  void expect(const Tensor& tensor, const std::vector<Index>& shape) const;
  [[noreturn]] void fail(std::string_view part, const std::string& what, const std::string& expected,
                         const std::string& got) const;

 private:
  const Checkpoint* stored_;
  std::string stem_;
  const Quantization* scheme_;
};

/// What is added to a set in place of the parts: "<stem>.weight" in f32.
struct QuantizedWeight {
  Tensor described;  ///< without data
  StoredTensor stored;
  TensorSet::Maker maker;
};

/// Weights packed into 32-bit integers: GPTQ's and AWQ's <stem>.qweight, compressed-tensors'
/// <stem>.weight_packed. Shapes are checked here, the indices of groups when the weight is made.
QuantizedWeight unpack_gptq(const QuantizedParts& parts);
QuantizedWeight unpack_awq(const QuantizedParts& parts);
QuantizedWeight unpack_compressed(const QuantizedParts& parts);
/// <stem>.weight in f8 or int8 beside its scales: weight_scale or weight_scale_inv (both multiply; of the
/// tensor, of each row, of groups within a row, or of blocks), bitsandbytes' SCB; f8 without any as it is.
QuantizedWeight scale_weight(const QuantizedParts& parts);

}  // namespace defectoscope
