#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "base/files.h"
#include "checkpoint/tensor_place.h"
#include "checkpoint/tensor_set.h"

namespace defectoscope {

/// A model as llama2.c writes it: versions 0 (no magic) and 1 in f32, version 2 in int8 with a scale a group.
class Llama2cFile {
 public:
  struct Sizes {
    Index hidden = 0, ffn = 0, layers = 0, heads = 0, kv_heads = 0, vocabulary = 0, positions = 0;
    bool tied = false;
  };

  /// Whether the file begins as one: by the magic, or for version 0 by sizes that give the file's length.
  static bool recognises(std::span<const std::byte> bytes);
  /// Reads the header alone. Throws Error(kBadInput): an unknown version, sizes that are out of range or do
  /// not divide, tensors that are longer than the file.
  static Llama2cFile open(const std::filesystem::path& path);

  const Sizes& sizes() const { return sizes_; }
  /// Its tokenizer, under the names that llama2.c's tools give it: tokenizer.bin or tok512.bin in the same
  /// folder; empty where there is neither.
  std::filesystem::path tokenizer_path() const;
  /// The tensors; `naming` is asked by llama.cpp's names for the same parts ("blk.0.attn_q.weight"), whose
  /// order of query and key rows is this format's too. f32 in place; int8 is dequantized to f32 when asked
  /// for.
  std::shared_ptr<const TensorSet> tensors(const TensorNaming& naming) const;

 private:
  std::shared_ptr<const MappedFile> file_;
  Sizes sizes_;
  std::int32_t version_ = 0;
  Index group_ = 0;  ///< int8 values that share a scale
};

}  // namespace defectoscope
