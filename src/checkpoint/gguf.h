#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "checkpoint/gguf_metadata.h"
#include "checkpoint/tensor_place.h"
#include "checkpoint/tensor_set.h"

namespace defectoscope {

/// A GGUF model's file, or all of its parts ("name-00001-of-00003.gguf"), whose first holds the metadata.
class GgufFiles {
 public:
  /// Opens a file, and where it is one part of several, any one, all of them. Reads headers alone. Throws
  /// Error(kBadInput): a part missing, of another model or in another place, parts without the number of
  /// tensors they say, no tensors at all, and all that GgufMetadata refuses.
  static GgufFiles open(const std::filesystem::path& path);

  const GgufMetadata& metadata() const { return *parts_.front().metadata; }
  /// The shape of a tensor, outermost first; empty where there is none of that name.
  std::vector<Index> shape_of(std::string_view name) const;
  /// The values of a small plain tensor, such as rope_freqs.weight; empty where there is none.
  std::vector<float> values_of(std::string_view name) const;

  /// The tensors under the names, and in the shapes, of the family's own files.
  ///
  /// F32, F16 and BF16 are used in place. Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K, IQ4_NL and IQ4_XS are
  /// dequantized to f32 when a tensor is asked for, in parallel: four bytes a value for as long as the tensor
  /// is held, nothing before and nothing after. What llama.cpp permutes or transposes is put back, by a copy
  /// of the tensor's own size. Throws Error(kBadInput), naming file and tensor: an unknown type, rows that
  /// are no whole blocks, data outside the file, rows that heads do not divide.
  std::shared_ptr<const TensorSet> tensors(const TensorNaming& naming) const;

 private:
  struct Part {
    std::shared_ptr<const MappedFile> file;
    std::shared_ptr<const GgufMetadata> metadata;
  };
  static Part open_part(const std::filesystem::path& path);
  std::vector<Part> parts_;
};

/// Where a model in parts begins: "x-00002-of-00003.gguf" → "x-00001-of-00003.gguf"; other paths as they are.
std::filesystem::path first_gguf_part(const std::filesystem::path& path);

}  // namespace defectoscope
