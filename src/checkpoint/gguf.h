#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "base/files.h"
#include "checkpoint/gguf_metadata.h"
#include "checkpoint/tensor_set.h"

namespace defectoscope {

/// The tensors of a GGUF file under the names and in the shapes of the family's Hugging Face files.
///
/// F32, F16 and BF16 are used in place. Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K, IQ4_NL and IQ4_XS are
/// dequantized to f32 when a tensor is asked for, in parallel: four bytes a value for as long as the tensor
/// is held, nothing before and nothing after. What llama.cpp permutes or transposes is put back, by a copy of
/// the tensor's own size. Names the family does not have stay as they are.
class GgufCheckpoint : public TensorSet {
 public:
  /// Reads the header alone. Throws Error(kBadInput), naming file and tensor: an architecture we do not read,
  /// one part of several, an unknown type, rows that are no whole blocks, data outside the file,
  /// permuted rows that heads do not divide, and all that GgufMetadata refuses.
  static std::shared_ptr<const GgufCheckpoint> open(const std::filesystem::path& path);

  const GgufMetadata& metadata() const { return *metadata_; }
  /// What each rotary frequency is divided by (LLaMA 3.1's long contexts); empty where the file has none.
  const std::vector<float>& rope_factors() const { return rope_factors_; }

 private:
  void read_tensors();
  void add_tensor(const GgufTensor& entry);

  std::shared_ptr<const MappedFile> file_;
  std::unique_ptr<const GgufMetadata> metadata_;
  std::vector<float> rope_factors_;
};

}  // namespace defectoscope
