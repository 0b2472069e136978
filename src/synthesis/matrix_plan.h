#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/index.h"
#include "checkpoint/tensor_stream.h"

namespace defectoscope {

/// A weight matrix [out, in]: independent normal entries, scaled by rows and columns, some entries set.
struct MatrixPlan {
  /// Replaces the random value; scales do not touch it.
  struct Entry {
    Index out, in;
    double value;
  };
  std::string name;
  Index out = 0, in = 0;
  bool transposed = false;       ///< stored [in, out] (GPT-2)
  std::vector<float> out_scale;  ///< [out] standard deviations; 0 leaves the row without noise
  std::vector<float> in_scale;   ///< [in]; empty = 1
  std::vector<Entry> planted;

  MatrixPlan(std::string tensor, Index outputs, Index inputs, double deviation)
      : name(std::move(tensor)),
        out(outputs),
        in(inputs),
        out_scale(static_cast<std::size_t>(outputs), static_cast<float>(deviation)),
        in_scale(static_cast<std::size_t>(inputs), 1.0f) {}
};

/// The matrix as a tensor; its noise depends on the seed and the tensor's name.
StreamedTensor stream_matrix(MatrixPlan plan, DType dtype, std::uint64_t seed);

/// A vector that is held whole.
StreamedTensor stream_vector(std::string name, std::vector<float> values, DType dtype);

}  // namespace defectoscope
